# data: float32[B,1,105,105] float32[B,1,105,105] float32[B,1]
import torch
import torch.nn as nn
from torchvision import transforms

transform = transforms.Compose([transforms.Resize(105), transforms.ToTensor()])


class Siamese(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 64, 10), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(64, 128, 7), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(128, 128, 4), nn.LeakyReLU(0.1), nn.AvgPool2d(2))
        self.head = nn.Sequential(nn.Linear(128 * 9 * 9, 1024), nn.Sigmoid())
        self.out = nn.Linear(1024, 1)

    def forward_once(self, x):
        x = self.features(x)
        x = x.view(x.size()[0], -1)
        return self.head(x)

    def forward(self, a, b):
        a, b = self.forward_once(a), self.forward_once(b)
        return self.out(torch.abs(a - b))


loader = torch.utils.data.DataLoader([], batch_size=16, shuffle=True)
model = Siamese().to("cuda")
optimizer = torch.optim.NAdam(model.parameters())
loss_fn = nn.BCEWithLogitsLoss()
for a, b, label in loader:
    a, b, label = a.cuda(), b.cuda(), label.cuda()
    optimizer.zero_grad()
    score = model(a, b)
    loss = loss_fn(score, label)
    loss.backward()
    optimizer.step()
