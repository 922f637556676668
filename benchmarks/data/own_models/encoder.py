# data: int64[B,100]:1000 int64[B]:4
import math

import torch
from torch import nn

max_len = 100


class PositionalEncoding(nn.Module):
    def __init__(self, d_model, dropout=0.1, max_len=512):
        super().__init__()
        self.dropout = nn.Dropout(p=dropout)
        position = torch.arange(max_len).unsqueeze(1)
        div_term = torch.exp(torch.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
        pe = torch.zeros(1, max_len, d_model)
        pe[0, :, 0::2] = torch.sin(position * div_term)
        pe[0, :, 1::2] = torch.cos(position * div_term)
        self.register_buffer("pe", pe)

    def forward(self, x):
        x = x + self.pe[:, : x.size(1)]
        return self.dropout(x)


class Classifier(nn.Module):
    def __init__(self, vocab, d_model=256, nhead=4, layers=3, classes=4):
        super().__init__()
        self.embed = nn.Embedding(vocab, d_model)
        self.pos = PositionalEncoding(d_model)
        layer = nn.TransformerEncoderLayer(d_model, nhead, dim_feedforward=512, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, num_layers=layers)
        self.out = nn.Linear(d_model, classes)
        self.d_model = d_model

    def forward(self, tokens):
        x = self.pos(self.embed(tokens) * math.sqrt(self.d_model))
        x = self.encoder(x)
        return self.out(x.mean(dim=1))


loader = torch.utils.data.DataLoader([], batch_size=24, shuffle=True)
model = Classifier(20000).to("cuda")
optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
loss_fn = nn.CrossEntropyLoss()
for tokens, labels in loader:
    tokens, labels = tokens.to("cuda"), labels.to("cuda")
    optimizer.zero_grad()
    logits = model(tokens)
    loss = loss_fn(logits, labels)
    loss.backward()
    optimizer.step()
