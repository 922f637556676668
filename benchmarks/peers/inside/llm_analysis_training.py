"""llm-analysis' `training` for one GPU; its weights have 16 bits at most.

Mixed precision is what it takes for granted: 16-bit weights with fp32 masters, gradients and states. For pure bf16
it is told that gradients and both of AdamW's states have two bytes each.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import Any

from llm_analysis.analysis import ActivationRecomputation, LLMAnalysis
from llm_analysis.config import DtypeConfig, ModelConfig, ParallelismConfig, get_gpu_config_by_name

_FULL = "(weight+op_state+grad+act)_memory_per_gpu"


def main() -> None:
    """Print its bytes of weights, states, gradients and activations."""
    row = json.load(sys.stdin)
    # It counts gradients with the bytes of the master weights, and states as masters and others together.
    states = {"master_weights_dtype_bytes": 2, "other_op_bytes": 2} if row["precision"] == "pure-bf16" else {}
    analysis = LLMAnalysis(
        _model(row["config"]),
        # It refuses what its GPU cannot hold.
        replace(get_gpu_config_by_name("a100-sxm-80gb"), mem_per_GPU_in_GB=1000),
        DtypeConfig("row", 16, 16, 16),
        ParallelismConfig(),
    )
    summary = analysis.training(
        batch_size_per_gpu=row["batch"],
        gradient_accumulation_steps=1,
        seq_len=row["length"],
        activation_recomputation=ActivationRecomputation.FULL
        if row["checkpointing"]
        else ActivationRecomputation.NONE,
        layernorm_dtype_bytes=2 if states else 4,
        flash_attn=row["flash"],
        mlp_gated_linear_units="intermediate_size" in row["config"],
        **states,
    )
    print(json.dumps({"allocated": round(summary[_FULL])}))


def _model(config: dict[str, Any]) -> ModelConfig:
    heads = config.get("num_attention_heads") or config["n_head"]
    width = config.get("hidden_size") or config["n_embd"]
    return ModelConfig(
        name="row",
        num_layers=config.get("num_hidden_layers") or config["n_layer"],
        n_head=heads,
        hidden_dim=width,
        vocab_size=config["vocab_size"],
        max_seq_len=config.get("max_position_embeddings") or config["n_positions"],
        num_key_value_heads=config.get("num_key_value_heads") or heads,
        ffn_embed_dim=config.get("intermediate_size") or config.get("n_inner") or 4 * width,
        expansion_ratio=(config.get("intermediate_size") or 4 * width) / width,
    )


main()
