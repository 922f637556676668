# data: float32[B,3,32,32] int64[B]:10
import torch
import torch.nn as nn
import torch.nn.functional as F
from torchvision import datasets, transforms

BATCH = 96


class SmallNet(nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.pool = nn.MaxPool2d(2)
        self.drop = nn.Dropout(0.25)
        self.fc1 = nn.Linear(64 * 7 * 7, 128)
        self.fc2 = nn.Linear(128, classes)

    def forward(self, x):
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = torch.flatten(x, 1)
        x = self.drop(F.relu(self.fc1(x)))
        return F.log_softmax(self.fc2(x), dim=1)


def train(model, loader, optimizer):
    model.train()
    for i, (images, labels) in enumerate(loader):
        images, labels = images.to("cuda"), labels.to("cuda")
        optimizer.zero_grad()
        out = model(images)
        loss = F.nll_loss(out, labels)
        loss.backward()
        optimizer.step()


data = datasets.CIFAR10("data", train=True, transform=transforms.ToTensor())
loader = torch.utils.data.DataLoader(data, batch_size=BATCH, shuffle=True)
model = SmallNet().to("cuda")
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
for epoch in range(5):
    train(model, loader, optimizer)
