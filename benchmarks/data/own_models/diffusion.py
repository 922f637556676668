# data: float32[B,3,32,32]
import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from einops import rearrange
import torchvision

image_size = 32
timesteps = 300


class SinusoidalEmbedding(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.dim = dim

    def forward(self, time):
        half = self.dim // 2
        scale = math.log(10000) / (half - 1)
        freqs = torch.exp(torch.arange(half, device=time.device) * -scale)
        args = time[:, None] * freqs[None, :]
        return torch.cat((args.sin(), args.cos()), dim=-1)


class ResBlock(nn.Module):
    def __init__(self, dim_in, dim_out, time_dim, groups=8):
        super().__init__()
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(time_dim, dim_out * 2))
        self.conv1 = nn.Conv2d(dim_in, dim_out, 3, padding=1)
        self.norm1 = nn.GroupNorm(groups, dim_out)
        self.conv2 = nn.Conv2d(dim_out, dim_out, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, dim_out)
        self.act = nn.SiLU()
        self.skip = nn.Conv2d(dim_in, dim_out, 1) if dim_in != dim_out else nn.Identity()

    def forward(self, x, t):
        scale, shift = rearrange(self.mlp(t), "b c -> b c 1 1").chunk(2, dim=1)
        h = self.norm1(self.conv1(x))
        h = self.act(h * (scale + 1) + shift)
        h = self.act(self.norm2(self.conv2(h)))
        return h + self.skip(x)


class LinearAttention(nn.Module):
    def __init__(self, dim, heads=4, dim_head=32):
        super().__init__()
        self.scale = dim_head**-0.5
        self.heads = heads
        self.to_qkv = nn.Conv2d(dim, heads * dim_head * 3, 1, bias=False)
        self.to_out = nn.Sequential(nn.Conv2d(heads * dim_head, dim, 1), nn.GroupNorm(1, dim))

    def forward(self, x):
        b, c, h, w = x.shape
        qkv = self.to_qkv(x).chunk(3, dim=1)
        q, k, v = map(lambda t: rearrange(t, "b (h c) x y -> b h c (x y)", h=self.heads), qkv)
        q = q.softmax(dim=-2) * self.scale
        k = k.softmax(dim=-1)
        context = torch.einsum("b h d n, b h e n -> b h d e", k, v)
        out = torch.einsum("b h d e, b h d n -> b h e n", context, q)
        out = rearrange(out, "b h c (x y) -> b (h c) x y", h=self.heads, x=h, y=w)
        return self.to_out(out)


class Unet(nn.Module):
    def __init__(self, dim=64, mults=(1, 2), channels=3):
        super().__init__()
        dims = [dim, *map(lambda m: dim * m, mults)]
        pairs = list(zip(dims[:-1], dims[1:]))
        time_dim = dim * 4
        self.init = nn.Conv2d(channels, dim, 7, padding=3)
        self.time = nn.Sequential(SinusoidalEmbedding(dim), nn.Linear(dim, time_dim), nn.GELU(), nn.Linear(time_dim, time_dim))
        self.downs, self.ups = nn.ModuleList([]), nn.ModuleList([])
        for i, (a, b) in enumerate(pairs):
            last = i >= len(pairs) - 1
            self.downs.append(nn.ModuleList([
                ResBlock(a, a, time_dim),
                LinearAttention(a),
                nn.Conv2d(a, b, 4, 2, 1) if not last else nn.Conv2d(a, b, 3, padding=1),
            ]))
        self.mid = ResBlock(dims[-1], dims[-1], time_dim)
        for i, (a, b) in enumerate(reversed(pairs)):
            last = i == len(pairs) - 1
            self.ups.append(nn.ModuleList([
                ResBlock(a + b, b, time_dim),
                nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(b, a, 3, padding=1)) if not last else nn.Conv2d(b, a, 3, padding=1),
            ]))
        self.final = nn.Conv2d(dim, channels, 1)

    def forward(self, x, time):
        x = self.init(x)
        t = self.time(time)
        skips = []
        for block, attn, down in self.downs:
            x = block(x, t)
            x = attn(x) + x
            skips.append(x)
            x = down(x)
        x = self.mid(x, t)
        for block, up in self.ups:
            x = torch.cat((x, skips.pop()), dim=1)
            x = up(block(x, t))
        return self.final(x)


betas = torch.linspace(0.0001, 0.02, timesteps)
alphas_cumprod = torch.cumprod(1.0 - betas, axis=0)
sqrt_alphas = torch.sqrt(alphas_cumprod)
sqrt_one_minus = torch.sqrt(1.0 - alphas_cumprod)


def extract(a, t, shape):
    out = a.to(t.device).gather(-1, t)
    return out.reshape(t.shape[0], *((1,) * (len(shape) - 1)))


def p_losses(model, x, t, noise=None):
    if noise is None:
        noise = torch.randn_like(x)
    noisy = extract(sqrt_alphas, t, x.shape) * x + extract(sqrt_one_minus, t, x.shape) * noise
    return F.smooth_l1_loss(noise, model(noisy, t))


loader = torch.utils.data.DataLoader([], batch_size=16, shuffle=True)
model = Unet()
model.to("cuda")
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
for batch in loader:
    optimizer.zero_grad()
    batch = batch.to("cuda")
    t = torch.randint(0, timesteps, (batch.shape[0],), device="cuda").long()
    loss = p_losses(model, batch, t)
    loss.backward()
    optimizer.step()
