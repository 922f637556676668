#!/usr/bin/env python
"""Fine-tune a causal language model on a text corpus, with a hand-written loop.

Example:
    python finetune.py --model_name_or_path meta-llama/Llama-3.2-1B --dataset_name wikitext \
        --dataset_config_name wikitext-2-raw-v1 --output_dir out
"""

import argparse
import json
import logging
import math
import os
import random
import time
from itertools import chain
from pathlib import Path

import datasets
import numpy as np
import torch
from datasets import load_dataset
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    default_data_collator,
    get_scheduler,
)

logger = logging.getLogger(__name__)

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
NO_DECAY = ("bias", "layernorm.weight", "norm.weight")


def parse_args():
    parser = argparse.ArgumentParser(description="Fine-tune a causal language model")
    parser.add_argument("--dataset_name", type=str, default="wikitext")
    parser.add_argument("--dataset_config_name", type=str, default="wikitext-2-raw-v1")
    parser.add_argument("--train_file", type=str, default=None, help="A csv or json file with the training data.")
    parser.add_argument("--validation_split_percentage", type=int, default=5)
    parser.add_argument("--model_name_or_path", type=str, default="meta-llama/Llama-3.2-1B")
    parser.add_argument("--tokenizer_name", type=str, default=None)
    parser.add_argument("--per_device_train_batch_size", type=int, default=4)
    parser.add_argument("--per_device_eval_batch_size", type=int, default=8)
    parser.add_argument("--block_size", type=int, default=1024)
    parser.add_argument("--learning_rate", type=float, default=5e-5)
    parser.add_argument("--weight_decay", type=float, default=0.1)
    parser.add_argument("--num_train_epochs", type=int, default=3)
    parser.add_argument("--max_train_steps", type=int, default=None)
    parser.add_argument("--gradient_accumulation_steps", type=int, default=2)
    parser.add_argument("--gradient_checkpointing", action="store_true")
    parser.add_argument("--lr_scheduler_type", type=str, default="cosine")
    parser.add_argument("--num_warmup_steps", type=int, default=100)
    parser.add_argument("--max_grad_norm", type=float, default=1.0)
    parser.add_argument("--precision", choices=sorted(DTYPES), default="bf16")
    parser.add_argument("--attn_implementation", type=str, default="sdpa")
    parser.add_argument("--preprocessing_num_workers", type=int, default=4)
    parser.add_argument("--checkpointing_steps", type=int, default=500)
    parser.add_argument("--resume_from_checkpoint", type=str, default=None)
    parser.add_argument("--output_dir", type=str, default="out")
    parser.add_argument("--seed", type=int, default=42)
    args = parser.parse_args()

    if args.dataset_name is None and args.train_file is None:
        raise ValueError("Need either a dataset name or a training file.")
    if args.train_file is not None:
        extension = args.train_file.split(".")[-1]
        if extension not in ("csv", "json", "txt"):
            raise ValueError(f"`train_file` should be a csv, json or txt file, got {extension}")
    return args


def set_seed(seed):
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.cuda.manual_seed_all(seed)


def load_raw_datasets(args):
    if args.train_file is None:
        raw = load_dataset(args.dataset_name, args.dataset_config_name)
    else:
        extension = args.train_file.split(".")[-1]
        raw = load_dataset("text" if extension == "txt" else extension, data_files={"train": args.train_file})
    if "validation" not in raw:
        percentage = args.validation_split_percentage
        split = raw["train"].train_test_split(test_size=percentage / 100, seed=args.seed)
        raw["train"], raw["validation"] = split["train"], split["test"]
    return raw


def build_tokenizer(args):
    name = args.tokenizer_name or args.model_name_or_path
    tokenizer = AutoTokenizer.from_pretrained(name, use_fast=True)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def tokenize_and_group(raw, tokenizer, args):
    columns = raw["train"].column_names
    text_column = "text" if "text" in columns else columns[0]
    block_size = min(args.block_size, tokenizer.model_max_length)

    def tokenize(examples):
        return tokenizer(examples[text_column])

    def group(examples):
        joined = {key: list(chain(*examples[key])) for key in examples}
        total = len(joined[next(iter(examples))])
        total = (total // block_size) * block_size
        result = {
            key: [values[start : start + block_size] for start in range(0, total, block_size)]
            for key, values in joined.items()
        }
        result["labels"] = result["input_ids"].copy()
        return result

    tokenized = raw.map(
        tokenize,
        batched=True,
        num_proc=args.preprocessing_num_workers,
        remove_columns=columns,
        desc="Running tokenizer on dataset",
    )
    return tokenized.map(
        group,
        batched=True,
        num_proc=args.preprocessing_num_workers,
        desc=f"Grouping texts in chunks of {block_size}",
    )


def build_model(args, tokenizer, device):
    config = AutoConfig.from_pretrained(args.model_name_or_path)
    model = AutoModelForCausalLM.from_pretrained(
        args.model_name_or_path,
        config=config,
        torch_dtype=torch.float32,
        attn_implementation=args.attn_implementation,
    )
    embedding_size = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > embedding_size:
        model.resize_token_embeddings(len(tokenizer))
    if args.gradient_checkpointing:
        model.gradient_checkpointing_enable()
        model.config.use_cache = False
    model.to(device)
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    logger.info("Trainable parameters: %.1f M", trainable / 1e6)
    return model


def build_optimizer(model, args):
    decayed, others = [], []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        (others if any(part in name.lower() for part in NO_DECAY) else decayed).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": args.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=args.learning_rate, betas=(0.9, 0.95))


def build_loaders(dataset, args):
    train_loader = DataLoader(
        dataset["train"],
        shuffle=True,
        collate_fn=default_data_collator,
        batch_size=args.per_device_train_batch_size,
        num_workers=2,
        pin_memory=True,
        drop_last=True,
    )
    eval_loader = DataLoader(
        dataset["validation"],
        collate_fn=default_data_collator,
        batch_size=args.per_device_eval_batch_size,
        num_workers=2,
    )
    return train_loader, eval_loader


@torch.no_grad()
def evaluate(model, loader, device, args):
    model.eval()
    losses = []
    for batch in loader:
        batch = {key: value.to(device) for key, value in batch.items()}
        with torch.autocast("cuda", dtype=DTYPES[args.precision], enabled=args.precision != "fp32"):
            losses.append(model(**batch).loss.float().item())
    model.train()
    mean = sum(losses) / max(len(losses), 1)
    try:
        perplexity = math.exp(mean)
    except OverflowError:
        perplexity = float("inf")
    return mean, perplexity


def save_checkpoint(model, optimizer, scheduler, step, args):
    folder = Path(args.output_dir) / f"step_{step}"
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    torch.save(
        {"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict(), "step": step},
        folder / "state.pt",
    )
    logger.info("Saved a checkpoint to %s", folder)


def resume(optimizer, scheduler, args):
    if args.resume_from_checkpoint is None:
        return 0
    state = torch.load(os.path.join(args.resume_from_checkpoint, "state.pt"), map_location="cpu")
    optimizer.load_state_dict(state["optimizer"])
    scheduler.load_state_dict(state["scheduler"])
    return state["step"]


def train(model, optimizer, scheduler, train_loader, eval_loader, device, args):
    completed = resume(optimizer, scheduler, args)
    progress = tqdm(total=args.max_train_steps, initial=completed)
    scaler = torch.amp.GradScaler("cuda", enabled=args.precision == "fp16")
    model.train()
    started = time.time()
    for epoch in range(args.num_train_epochs):
        running = 0.0
        for index, batch in enumerate(train_loader):
            batch = {key: value.to(device, non_blocking=True) for key, value in batch.items()}
            with torch.autocast("cuda", dtype=DTYPES[args.precision], enabled=args.precision != "fp32"):
                outputs = model(**batch)
                loss = outputs.loss / args.gradient_accumulation_steps
            scaler.scale(loss).backward()
            running += loss.detach().float().item()

            if (index + 1) % args.gradient_accumulation_steps != 0:
                continue
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), args.max_grad_norm)
            scaler.step(optimizer)
            scaler.update()
            scheduler.step()
            optimizer.zero_grad(set_to_none=True)
            completed += 1
            progress.update(1)
            progress.set_postfix(loss=running, lr=scheduler.get_last_lr()[0])
            running = 0.0

            if completed % args.checkpointing_steps == 0:
                save_checkpoint(model, optimizer, scheduler, completed, args)
            if completed >= args.max_train_steps:
                break

        mean, perplexity = evaluate(model, eval_loader, device, args)
        peak = torch.cuda.max_memory_allocated() / 2**30
        logger.info("epoch %d: loss %.3f, perplexity %.2f, %.1f GiB", epoch, mean, perplexity, peak)
    return {"eval_loss": mean, "perplexity": perplexity, "seconds": time.time() - started}


def main():
    args = parse_args()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    datasets.utils.logging.set_verbosity_warning()
    set_seed(args.seed)
    os.makedirs(args.output_dir, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    tokenizer = build_tokenizer(args)
    dataset = tokenize_and_group(load_raw_datasets(args), tokenizer, args)
    train_loader, eval_loader = build_loaders(dataset, args)
    model = build_model(args, tokenizer, device)
    optimizer = build_optimizer(model, args)

    steps_per_epoch = math.ceil(len(train_loader) / args.gradient_accumulation_steps)
    if args.max_train_steps is None:
        args.max_train_steps = args.num_train_epochs * steps_per_epoch
    scheduler = get_scheduler(
        name=args.lr_scheduler_type,
        optimizer=optimizer,
        num_warmup_steps=args.num_warmup_steps,
        num_training_steps=args.max_train_steps,
    )

    metrics = train(model, optimizer, scheduler, train_loader, eval_loader, device, args)
    model.save_pretrained(args.output_dir)
    tokenizer.save_pretrained(args.output_dir)
    Path(args.output_dir, "metrics.json").write_text(json.dumps(metrics, indent=2))


if __name__ == "__main__":
    main()
