# data: int64[B,64]:1000 int64[B,64]:1000
import torch
import torch.nn as nn

max_len = 64


class Translator(nn.Module):
    def __init__(self, vocab=8000, d=256, heads=8, layers=2, dropout=0.1):
        super().__init__()
        self.src = nn.Embedding(vocab, d)
        self.tgt = nn.Embedding(vocab, d)
        self.pos = nn.Parameter(torch.randn(1, max_len, d))
        self.transformer = nn.Transformer(d, heads, layers, layers, 1024, dropout, batch_first=True)
        self.out = nn.Linear(d, vocab)

    def forward(self, src, tgt):
        mask = torch.triu(torch.full((tgt.size(1), tgt.size(1)), float("-inf"), device="cuda"), diagonal=1)
        s = self.src(src) + self.pos[:, : src.size(1)]
        t = self.tgt(tgt) + self.pos[:, : tgt.size(1)]
        return self.out(self.transformer(s, t, tgt_mask=mask))


loader = torch.utils.data.DataLoader([], batch_size=32, shuffle=True)
model = Translator().to("cuda")
optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
criterion = nn.CrossEntropyLoss(label_smoothing=0.0)
for src, tgt in loader:
    src, tgt = src.to("cuda"), tgt.to("cuda")
    optimizer.zero_grad()
    logits = model(src, tgt[:, :-1])
    loss = criterion(logits.reshape(-1, logits.shape[-1]), tgt[:, 1:].reshape(-1))
    loss.backward()
    optimizer.step()
