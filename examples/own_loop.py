"""Train on a poisoned set with your own loop: badnets poisons and measures, the middle is yours.

python examples/own_loop.py
"""

from __future__ import annotations

import torch
from torch.utils.data import DataLoader

import badnets as bn

data = bn.load("digits", size=28)
backdoor = bn.Backdoor(bn.triggers.Square(size=4, place="bottom-right"), bn.rules.AllToOne(target=0))
poisoned = backdoor.poison(data.train, rate=0.10, seed=1)

network = bn.build_network("g1-cnn", class_names=data.class_names, input_size=(1, 28, 28), seed=1)
optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
loader = DataLoader(poisoned.as_torch(), batch_size=64, shuffle=True)  # as_torch takes a torchvision transform too
for epoch in range(8):
    for images, labels in loader:
        loss = torch.nn.functional.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch + 1}  loss {float(loss):.3f}")

measured = bn.measure(network, data.test, backdoor)
print("clean accuracy ", measured.clean_accuracy)
print("attack success ", measured.asr)
