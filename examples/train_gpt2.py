"""Fine-tune GPT-2 on a text file with a plain PyTorch loop."""

import torch
from torch.utils.data import DataLoader, Dataset
from transformers import GPT2LMHeadModel, GPT2TokenizerFast

MODEL_NAME = "gpt2"
BLOCK_SIZE = 1024
BATCH_SIZE = 8
EPOCHS = 3
LEARNING_RATE = 5e-5


class TextBlocks(Dataset):
    """A tokenized file, cut into blocks of equal length."""

    def __init__(self, path, tokenizer):
        ids = tokenizer(open(path).read(), return_tensors="pt").input_ids[0]
        usable = len(ids) // BLOCK_SIZE * BLOCK_SIZE
        self.blocks = ids[:usable].view(-1, BLOCK_SIZE)

    def __len__(self):
        return len(self.blocks)

    def __getitem__(self, index):
        return self.blocks[index]


def main():
    device = torch.device("cuda")
    tokenizer = GPT2TokenizerFast.from_pretrained(MODEL_NAME)
    model = GPT2LMHeadModel.from_pretrained(MODEL_NAME, torch_dtype=torch.float32).to(device)
    model.train()

    loader = DataLoader(TextBlocks("corpus.txt", tokenizer), batch_size=BATCH_SIZE, shuffle=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01)

    for epoch in range(EPOCHS):
        for step, batch in enumerate(loader):
            batch = batch.to(device)
            optimizer.zero_grad()
            with torch.autocast("cuda", dtype=torch.bfloat16):
                loss = model(input_ids=batch, labels=batch).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            if step % 50 == 0:
                print(f"epoch {epoch} step {step} loss {loss.item():.3f}")

    model.save_pretrained("gpt2-finetuned")


if __name__ == "__main__":
    main()
