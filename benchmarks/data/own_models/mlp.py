# data: float32[B,40] float32[B,1]
import torch
import torch.nn as nn


class Regressor(nn.Module):
    def __init__(self, features, hidden=(512, 256), dropout=0.2):
        super().__init__()
        layers = []
        width = features
        for size in hidden:
            layers += [nn.Linear(width, size), nn.BatchNorm1d(size), nn.ReLU(), nn.Dropout(dropout)]
            width = size
        layers.append(nn.Linear(width, 1))
        self.net = nn.Sequential(*layers)

    def forward(self, x):
        return self.net(x)


loader = torch.utils.data.DataLoader([], batch_size=4096, shuffle=True)
model = Regressor(features=40).to("cuda")
optimizer = torch.optim.Adagrad(model.parameters())
criterion = nn.MSELoss()
for x, y in loader:
    x, y = x.to("cuda"), y.to("cuda")
    optimizer.zero_grad()
    prediction = model(x)
    loss = criterion(prediction, y)
    loss.backward()
    optimizer.step()
