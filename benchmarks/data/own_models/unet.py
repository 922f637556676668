# data: float32[B,3,128,128] int64[B,128,128]:4
import torch
import torch.nn as nn
import torch.nn.functional as F

IMAGE_SIZE = 128
import torchvision


class DoubleConv(nn.Module):
    def __init__(self, in_channels, out_channels, mid_channels=None):
        super().__init__()
        mid_channels = mid_channels or out_channels
        self.net = nn.Sequential(
            nn.Conv2d(in_channels, mid_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(mid_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(mid_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x):
        return self.net(x)


class Up(nn.Module):
    def __init__(self, in_channels, out_channels, bilinear):
        super().__init__()
        if bilinear:
            self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
            self.conv = DoubleConv(in_channels, out_channels, in_channels // 2)
        else:
            self.up = nn.ConvTranspose2d(in_channels, in_channels // 2, kernel_size=2, stride=2)
            self.conv = DoubleConv(in_channels, out_channels)

    def forward(self, x, skip):
        x = self.up(x)
        dy, dx = skip.size()[2] - x.size()[2], skip.size()[3] - x.size()[3]
        x = F.pad(x, [dx // 2, dx - dx // 2, dy // 2, dy - dy // 2])
        return self.conv(torch.cat([skip, x], dim=1))


class UNet(nn.Module):
    def __init__(self, channels, classes, width=32, depth=3, bilinear=False):
        super().__init__()
        self.inc = DoubleConv(channels, width)
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for level in range(depth):
            self.downs.append(nn.Sequential(nn.MaxPool2d(2), DoubleConv(width * 2**level, width * 2 ** (level + 1))))
        for level in reversed(range(depth)):
            self.ups.append(Up(width * 2 ** (level + 1), width * 2**level, bilinear))
        self.outc = nn.Conv2d(width, classes, kernel_size=1)

    def forward(self, x):
        skips = [self.inc(x)]
        for down in self.downs:
            skips.append(down(skips[-1]))
        x = skips.pop()
        for up in self.ups:
            x = up(x, skips.pop())
        return self.outc(x)


loader = torch.utils.data.DataLoader([], batch_size=6, shuffle=True)
model = UNet(channels=3, classes=4).to("cuda")
optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-5, momentum=0.9)
criterion = nn.CrossEntropyLoss()
for epoch in range(3):
    for batch in loader:
        images, masks = batch
        images = images.to("cuda")
        masks = masks.to("cuda")
        pred = model(images)
        loss = criterion(pred, masks)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
