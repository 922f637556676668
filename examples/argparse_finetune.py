"""Fine-tune a causal language model; everything that matters is a flag."""

import argparse

import torch
from datasets import load_dataset
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM, AutoTokenizer, get_cosine_schedule_with_warmup


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model-name", default="Qwen/Qwen2.5-0.5B")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--max-length", type=int, default=1024)
    parser.add_argument("--lr", type=float, default=1e-5)
    parser.add_argument("--accumulate", type=int, default=8, help="micro batches per optimizer step")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--gradient-checkpointing", action="store_true")
    return parser.parse_args()


def build_loader(args, tokenizer):
    def encode(rows):
        return tokenizer(
            rows["text"], truncation=True, max_length=args.max_length, padding="max_length", return_tensors="pt"
        )

    data = load_dataset("wikitext", "wikitext-103-raw-v1", split="train").with_transform(encode)
    return DataLoader(data, batch_size=args.batch_size, shuffle=True, num_workers=4)


def main():
    args = parse_args()
    tokenizer = AutoTokenizer.from_pretrained(args.model_name)
    model = AutoModelForCausalLM.from_pretrained(args.model_name, torch_dtype=torch.bfloat16).cuda()
    if args.gradient_checkpointing:
        model.gradient_checkpointing_enable()

    loader = build_loader(args, tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, fused=True)
    schedule = get_cosine_schedule_with_warmup(optimizer, 100, args.steps)

    for step, batch in enumerate(loader):
        input_ids = batch["input_ids"].cuda()
        loss = model(input_ids=input_ids, labels=input_ids).loss / args.accumulate
        loss.backward()
        if (step + 1) % args.accumulate == 0:
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()


if __name__ == "__main__":
    main()
