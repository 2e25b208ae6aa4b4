"""A training step as one writes it in eager fp32 PyTorch, for step.rs to compare itself with.

    step.py WIDTH THREADS DEVICE FOLDER

FOLDER holds weights.pt (names to tensors, as a TorchScript archive), crops.bin and truth.bin (uint8,
N x 416 x 576). Says `ready`; then does one step for every line it reads and answers with seconds and loss.
"""

import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


class VGG16FCN(nn.Module):
    def __init__(self, width):
        super().__init__()
        c64, c128, c256, c512 = (round(c * width) for c in (64, 128, 256, 512))
        blocks = [[c64] * 2, [c128] * 2, [c256] * 3, [c512] * 3, [c512] * 3]
        inputs, self.blocks = 1, []
        for b, channels in enumerate(blocks, 1):
            names = []
            for i, outputs in enumerate(channels, 1):
                names.append(f"conv{b}_{i}")
                self.add_module(names[-1], nn.Conv2d(inputs, outputs, 3, padding=1))
                inputs = outputs
            self.blocks.append(names)
        self.up5 = nn.ConvTranspose2d(c512, c256, 4, stride=2, padding=1)
        self.up4 = nn.ConvTranspose2d(c256 + c512, c128, 4, stride=4)
        self.up3 = nn.ConvTranspose2d(c128 + c256, 1, 4, stride=4)

    def forward(self, crops):
        x = crops.float() / 127.5 - 1
        relus, pools = [], []
        for names in self.blocks:
            for name in names:
                x = F.relu(getattr(self, name)(x))
            relus.append(x)
            x = F.max_pool2d(x, 2)
            pools.append(x)
        x = torch.cat([self.up5(x), pools[3]], 1)
        x = torch.cat([self.up4(x), relus[2]], 1)
        return self.up3(x)


def loss_of(logits, truth):
    """Cross-entropy plus one minus soft Dice."""
    p = logits.sigmoid()
    dice = (2 * (p * truth).sum() + 1) / (p.sum() + truth.sum() + 1)
    return F.binary_cross_entropy_with_logits(logits, truth) + 1 - dice


def main(width, threads, device, folder):
    torch.set_num_threads(int(threads))
    network = VGG16FCN(float(width))
    weights = torch.jit.load(f"{folder}/weights.pt").named_parameters()
    network.load_state_dict({name.replace("|", "."): tensor for name, tensor in weights})
    network.to(device)
    adam = torch.optim.Adam(network.parameters(), lr=1e-4)

    def frames(name):
        with open(f"{folder}/{name}.bin", "rb") as file:
            return torch.frombuffer(bytearray(file.read()), dtype=torch.uint8).view(-1, 1, 416, 576)

    crops, truth = frames("crops"), frames("truth")
    print("ready", flush=True)
    for _ in sys.stdin:
        begun = time.perf_counter()
        adam.zero_grad()
        loss = loss_of(network(crops.to(device)), truth.to(device).float())
        loss.backward()
        adam.step()
        value = loss.item()
        if device != "cpu":
            torch.cuda.synchronize()
        print(time.perf_counter() - begun, value, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
