"""EmotionNet in Python, written from the description of the model's layers: the peer of worker/model in parity tests and benchmarks.

Names, shapes and numbers are those of the public model, so that state_dicts move between the two; forward returns logits.
"""

import torch
from torch import nn
from torch.nn import functional as F


class Conv(nn.Module):
    def __init__(self, c1, c2, k=1, s=1, g=1, act=True, eps=1e-5):
        super().__init__()
        self.conv = nn.Conv2d(c1, c2, k, s, k // 2, groups=g, bias=False)
        self.bn = nn.BatchNorm2d(c2, eps=eps)
        self.act = nn.SiLU(inplace=True) if act else nn.Identity()

    def forward(self, x):
        return self.act(self.bn(self.conv(x)))


class Bottleneck(nn.Module):
    def __init__(self, c, shortcut=True, e=0.5):
        super().__init__()
        self.cv1 = Conv(c, int(c * e), 3)
        self.cv2 = Conv(int(c * e), c, 3)
        self.shortcut = shortcut

    def forward(self, x):
        y = self.cv2(self.cv1(x))
        return x + y if self.shortcut else y


class C3k2(nn.Module):
    def __init__(self, c1, c2, n=1, e=0.25):
        super().__init__()
        h = int(c2 * e)
        self.cv1 = Conv(c1, 2 * h)
        self.cv2 = Conv((2 + n) * h, c2)
        self.m = nn.ModuleList(Bottleneck(h) for _ in range(n))

    def forward(self, x):
        y = list(self.cv1(x).chunk(2, 1))
        for m in self.m:
            y.append(m(y[-1]))
        return self.cv2(torch.cat(y, 1))


class AAttn(nn.Module):
    def __init__(self, h, area):
        super().__init__()
        self.area, self.heads = area, h // 32
        self.qkv = Conv(h, 3 * h, act=False)
        self.proj = Conv(h, h, act=False)
        self.pe = Conv(h, h, 7, g=h, act=False)

    def forward(self, x):
        n, c, h, w = x.shape
        tokens = self.qkv(x).flatten(2).transpose(1, 2).reshape(n * self.area, h * w // self.area, self.heads, 96)
        q, k, v = tokens.transpose(1, 2).split(32, dim=-1)
        y = F.scaled_dot_product_attention(q, k, v)

        def image(t):
            return t.transpose(1, 2).reshape(n, h, w, c).permute(0, 3, 1, 2)

        return self.proj(image(y) + self.pe(image(v)))


class ABlock(nn.Module):
    def __init__(self, h, area):
        super().__init__()
        self.attn = AAttn(h, area)
        self.mlp = nn.Sequential(Conv(h, 2 * h), Conv(2 * h, h, act=False))
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.trunc_normal_(m.weight, std=0.02)

    def forward(self, x):
        x = x + self.attn(x)
        return x + self.mlp(x)


class A2C2f(nn.Module):
    def __init__(self, c1, c2, n, area, e=0.5):
        super().__init__()
        h = int(c2 * e)
        self.cv1 = Conv(c1, h)
        self.cv2 = Conv((1 + n) * h, c2)
        self.m = nn.ModuleList(nn.Sequential(ABlock(h, area), ABlock(h, area)) for _ in range(n))

    def forward(self, x):
        y = [self.cv1(x)]
        for m in self.m:
            y.append(m(y[-1]))
        return self.cv2(torch.cat(y, 1))


class Classify(nn.Module):
    def __init__(self, c, classes):
        super().__init__()
        self.conv = Conv(c, 1280)
        self.linear = nn.Linear(1280, classes)

    def forward(self, x):
        return self.linear(F.adaptive_avg_pool2d(self.conv(x), 1).flatten(1))


class EmotionNet(nn.Module):
    def __init__(self, classes=7):
        super().__init__()
        self.backbone = nn.Sequential(
            Conv(3, 16, 3, 2),
            Conv(16, 32, 3, 2),
            C3k2(32, 64),
            Conv(64, 128, 3, 2),
            C3k2(128, 128),
            Conv(128, 128, 3, 2),
            A2C2f(128, 128, 2, 4),
            Conv(128, 256, 3, 2),
            A2C2f(256, 256, 2, 1),
        )
        self.classify = Classify(256, classes)

    def forward(self, x):
        return self.classify(self.backbone(x))
