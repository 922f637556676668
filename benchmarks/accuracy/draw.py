"""Draws plans at random: a family, sizes that fit together, and a way to train it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from random import Random

# Families whose config takes the usual names of sizes, each with what its config asks for besides.
_PLAIN_DECODERS: Mapping[str, Mapping[str, Any]] = {
    "llama": {},
    "mistral": {},
    "ministral": {"head_dim": 64},
    "qwen2": {},
    "qwen3": {"head_dim": 128},
    "phi3": {},
    "phi": {"partial_rotary_factor": 0.5},
    "gemma": {"head_dim": 128, "tie_word_embeddings": True},
    "gemma2": {"head_dim": 64, "tie_word_embeddings": True},
    "gemma3_text": {"head_dim": 256, "tie_word_embeddings": True},
    "stablelm": {},
    "olmo": {},
    "olmo2": {},
    "olmo3": {},
    "granite": {},
    "cohere": {"tie_word_embeddings": True},
    "cohere2": {"tie_word_embeddings": True},
    "starcoder2": {},
    "smollm3": {},
    "glm": {"head_dim": 64},
    "glm4": {"head_dim": 64},
    "arcee": {},
    "ernie4_5": {"head_dim": 64},
    "exaone4": {},
    "seed_oss": {"head_dim": 64},
    "nemotron": {},
    "hunyuan_v1_dense": {"head_dim": 64},
    "gpt_neox": {},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "olmoe": {"num_experts": 8, "num_experts_per_tok": 2},
    "qwen2_moe": {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 256,
                  "shared_expert_intermediate_size": 512},
    "qwen3_moe": {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 256, "head_dim": 64},
    "granitemoe": {"num_local_experts": 4, "num_experts_per_tok": 2},
}  # fmt: skip
_EXPERTS = frozenset({"mixtral", "olmoe", "qwen2_moe", "qwen3_moe", "granitemoe"})
_PLAIN_ENCODERS = ("bert", "roberta", "xlm-roberta", "electra", "albert", "deberta-v2", "modernbert", "mpnet")
_SEQ2SEQ = ("bart", "mbart", "pegasus", "marian", "m2m_100")
_VISION = ("vit", "deit", "dinov2", "beit", "convnext", "resnet", "swin")
# transformers refuses SDPA for these (no _supports_sdpa), or its masks differ from what a plan says.
_EAGER = frozenset({"gemma2", "mpt", "gpt_neo", "bloom", "deberta-v2", "gptj", "convnext", "resnet", "mpnet"})
_WITH_LORA = frozenset({"llama", "mistral", "qwen2", "qwen3", "gemma", "phi3", "granite", "olmo2"})
_TARGETS = (["q_proj", "v_proj"], ["q_proj", "k_proj", "v_proj", "o_proj"], "all-linear")


def draw(random: Random, count: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield as many plans as asked for, each with the name of its family."""
    families = list(_makers(random))
    for _ in range(count):
        name, make = random.choice(families)
        yield name, _trained(random, name, make())


def _makers(random: Random) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    for name, extra in _PLAIN_DECODERS.items():
        yield name, partial(_decoder, random, name, extra)
    for name in _OWN_NAMES:
        yield name, partial(_own_names, random, name)
    for name in _PLAIN_ENCODERS:
        yield name, partial(_encoder, random, name)
    yield "distilbert", partial(_distilbert, random)
    for name in ("t5", "mt5", "umt5"):
        yield name, partial(_t5, random, name)
    for name in _SEQ2SEQ:
        yield name, partial(_seq2seq, random, name)
    for name in _VISION:
        yield name, partial(_vision, random, name)
    yield "whisper", partial(_whisper, random)


def _heads(random: Random) -> tuple[int, int]:
    """Return a number of heads and their width."""
    return random.choice([4, 8, 12, 16]), random.choice([64, 80, 96, 128])


def _decoder(random: Random, name: str, extra: Mapping[str, Any]) -> dict[str, Any]:
    heads, width = _heads(random)
    config = {
        "model_type": name,
        "vocab_size": random.choice([8000, 32000, 50257, 128256]),
        "hidden_size": heads * width,
        "intermediate_size": int(heads * width * random.choice([2, 2.7, 3.5, 4])) // 64 * 64,
        "num_hidden_layers": random.choice([2, 3, 4, 6]),
        "num_attention_heads": heads,
        "num_key_value_heads": random.choice([heads, heads // 2, heads // 4]),
        "max_position_embeddings": 4096,
        "tie_word_embeddings": random.random() < 0.4,
        "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
        **extra,
    }  # fmt: skip
    if name == "gpt_neox":
        del config["num_key_value_heads"]
        config["use_parallel_residual"] = random.random() < 0.7
    return _text(random, "causal-lm", config, [128, 200, 512, 777, 1024, 2048])


_OWN_NAMES = ("gpt2", "gpt_neo", "gptj", "opt", "bloom", "mpt", "falcon", "gpt_bigcode")


def _own_names(random: Random, name: str) -> dict[str, Any]:
    heads, width = _heads(random)
    size, layers = heads * width, random.choice([2, 3, 4])
    dropout = random.choice([0.0, 0.1])
    configs: dict[str, dict[str, Any]] = {
        "gpt2": {"n_embd": size, "n_layer": layers, "n_head": heads, "n_positions": 4096,
                 "resid_pdrop": dropout, "attn_pdrop": random.choice([0.0, 0.1])},
        "gpt_bigcode": {"n_embd": size, "n_layer": layers, "n_head": heads, "n_positions": 4096},
        "gptj": {"n_embd": size, "n_layer": layers, "n_head": heads, "n_positions": 4096, "rotary_dim": 32},
        "gpt_neo": {"hidden_size": size, "num_layers": 4, "num_heads": heads, "max_position_embeddings": 4096,
                    "attention_types": [[["global", "local"], 2]]},
        "opt": {"hidden_size": size, "ffn_dim": 4 * size, "num_hidden_layers": layers, "word_embed_proj_dim": size,
                "num_attention_heads": heads, "max_position_embeddings": 4096, "dropout": dropout},
        "bloom": {"hidden_size": size, "n_layer": layers, "n_head": heads},
        "mpt": {"d_model": size, "n_layers": layers, "n_heads": heads, "max_seq_len": 4096},
        "falcon": {"hidden_size": size, "num_hidden_layers": layers, "num_attention_heads": heads,
                   "new_decoder_architecture": random.random() < 0.5, "num_kv_heads": max(1, heads // 4),
                   "multi_query": True, "parallel_attn": True, "bias": False, "alibi": False},
    }  # fmt: skip
    vocabulary = {"vocab_size": random.choice([8000, 32000, 50257])}
    return _text(
        random, "causal-lm", {"model_type": name, **vocabulary, **configs[name]}, [128, 200, 512, 777, 1024]
    )


def _encoder(random: Random, name: str) -> dict[str, Any]:
    heads = random.choice([4, 8, 12])
    config: dict[str, Any] = {
        "model_type": name,
        "vocab_size": 50368 if name == "modernbert" else random.choice([30522, 50265]),
        "hidden_size": 64 * heads,
        "num_hidden_layers": random.choice([2, 3, 6]),
        "num_attention_heads": heads,
        "intermediate_size": 256 * heads,
        "max_position_embeddings": 514,
        "hidden_dropout_prob": random.choice([0.0, 0.1]),
        "attention_probs_dropout_prob": random.choice([0.0, 0.1]),
        "pad_token_id": 0,
    }
    if name in {"electra", "albert"}:
        config["embedding_size"] = 128
    return _classified(random, config)


def _distilbert(random: Random) -> dict[str, Any]:
    heads = random.choice([4, 8, 12])
    return _classified(random, {"model_type": "distilbert", "dim": 64 * heads, "n_heads": heads,
                                "n_layers": random.choice([2, 3, 6]), "hidden_dim": 256 * heads})  # fmt: skip


def _classified(random: Random, config: dict[str, Any]) -> dict[str, Any]:
    task = random.choice(["sequence-classification", "masked-lm", "token-classification"])
    return _text(random, task, {**config, "num_labels": 2}, [64, 128, 256, 500])


def _t5(random: Random, name: str) -> dict[str, Any]:
    heads = random.choice([4, 8, 12])
    config = {
        "model_type": name, "vocab_size": 32128, "d_model": 64 * heads, "d_kv": 64, "d_ff": 256 * heads,
        "num_layers": 3, "num_decoder_layers": random.choice([2, 3]), "num_heads": heads,
        "feed_forward_proj": random.choice(["relu", "gated-gelu"]),
        "decoder_start_token_id": 0, "pad_token_id": 0,
    }  # fmt: skip
    return {**_text(random, "seq2seq-lm", config, [128, 256, 500]), "target_length": random.choice([64, 128])}


def _seq2seq(random: Random, name: str) -> dict[str, Any]:
    heads = random.choice([4, 8, 12])
    sides = {
        f"{side}_{what}": number
        for side in ("encoder", "decoder")
        for what, number in (("attention_heads", heads), ("ffn_dim", 256 * heads), ("layerdrop", 0.0))
    }
    config = {
        "model_type": name, "vocab_size": 50265, "d_model": 64 * heads, "max_position_embeddings": 1024,
        "encoder_layers": random.choice([2, 3]), "decoder_layers": random.choice([2, 3]),
        "attention_dropout": random.choice([0.0, 0.1]), "pad_token_id": 1, "eos_token_id": 2,
        "decoder_start_token_id": 2, **sides,
    }  # fmt: skip
    if name == "marian":
        config["decoder_vocab_size"] = config["vocab_size"]
    return {**_text(random, "seq2seq-lm", config, [128, 256, 500]), "target_length": random.choice([64, 128])}


def _vision(random: Random, name: str) -> dict[str, Any]:
    heads = random.choice([4, 8, 12])
    layers = random.choice([2, 4])
    transformer = {"hidden_size": 64 * heads, "num_hidden_layers": layers, "num_attention_heads": heads}
    configs: dict[str, dict[str, Any]] = {
        "vit": {**transformer, "intermediate_size": 256 * heads, "patch_size": 16},
        "deit": {**transformer, "intermediate_size": 256 * heads, "patch_size": 16,
                 "architectures": ["DeiTForImageClassification"]},
        "beit": {**transformer, "intermediate_size": 256 * heads, "patch_size": 16,
                 "use_relative_position_bias": random.random() < 0.5},
        "dinov2": {**transformer, "patch_size": 14, "mlp_ratio": 4},
        "convnext": {"hidden_sizes": [64, 128, 256, 512], "depths": [2, 2, layers, 2], "num_stages": 4},
        "resnet": {"embedding_size": 64, "hidden_sizes": [256, 512, 1024, 2048], "depths": [2, 2, layers, 2],
                   "layer_type": "bottleneck"},
        "swin": {"patch_size": 4, "embed_dim": 96, "depths": [2, 2, layers, 2], "num_heads": [3, 6, 12, 24],
                 "window_size": 7},
    }  # fmt: skip
    config = {"model_type": name, "image_size": 224, "num_labels": 10, **configs[name]}
    return {"model": {"config": config}, "task": "image-classification", "image_size": 224}


def _whisper(random: Random) -> dict[str, Any]:
    heads = random.choice([6, 8, 12])
    sides = {
        f"{side}_{what}": number
        for side in ("encoder", "decoder")
        for what, number in (("layers", 3), ("attention_heads", heads), ("ffn_dim", 256 * heads))
    }
    config = {"model_type": "whisper", "d_model": 64 * heads, "decoder_start_token_id": 50257, **sides}
    return _text(random, "speech-seq2seq", config, [64, 100, 200])


def _text(random: Random, task: str, config: dict[str, Any], lengths: list[int]) -> dict[str, Any]:
    return {"model": {"config": config}, "task": task, "sequence_length": random.choice(lengths)}


def _trained(random: Random, name: str, plan: dict[str, Any]) -> dict[str, Any]:
    """Add to a plan how it is trained."""
    regimes = [
        ("float32", None),
        ("bfloat16", None),
        ("float32", "bf16"),
        ("float32", "bf16"),
        ("float32", "fp16"),
    ]
    parameters, mixed = ("bfloat16", None) if name in _EXPERTS else random.choice(regimes)
    optimizers = [
        {"name": "torch.optim.AdamW"}, {"name": "torch.optim.AdamW"}, {"name": "torch.optim.AdamW", "fused": True},
        {"name": "torch.optim.SGD", "momentum": 0.9}, {"name": "torch.optim.Adafactor"},
        {"name": "torch.optim.AdamW", "foreach": False},
    ]  # fmt: skip
    checkpointed = plan["task"] != "image-classification" and random.random() < 0.33
    plan |= {
        "param_dtype": parameters,
        "mixed_precision": mixed,
        "attention": "eager" if name in _EAGER else random.choice(["sdpa", "sdpa", "sdpa", "eager"]),
        "micro_batch_size": random.choice([1, 2, 4, 8]),
        "optimizer": random.choice(optimizers),
        "gradient_checkpointing": {"use_reentrant": random.random() < 0.3} if checkpointed else None,
        "gradient_accumulation_steps": random.choice([1, 1, 2]),
        "loop": {
            "zero_grad": random.choice(["end", "end", "start", "before_backward"]),
            "keeps_outputs": random.random() < 0.15,
            "clip_grad_norm": random.choice([None, 1.0]),
        },
    }
    if name in _WITH_LORA and random.random() < 0.3:
        plan["lora"] = {
            "r": random.choice([8, 16, 64]), "target_modules": random.choice(_TARGETS),
            "dropout": random.choice([0.0, 0.05]), "kind": random.choice(["lora", "lora", "dora"]),
        }  # fmt: skip
    return plan
