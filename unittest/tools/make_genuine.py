# SPDX-License-Identifier: GPL-2.0-only
"""Makes genuine.ckpt: a tiny Lightning-like checkpoint by a real torch.save (PyTorch 2.11)."""

import io
import os

import torch

net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1))
optimiser = torch.optim.AdamW(net.parameters())
net(torch.ones(1, 3)).sum().backward()
optimiser.step()  # its state joins the file, as in a real checkpoint
scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser)
with torch.no_grad():
    net[0].weight.copy_(torch.arange(6).reshape(2, 3) / 2)
    net[0].bias.copy_(torch.tensor([-1.0, 3.0]))
    net[1].weight.copy_(torch.tensor([[0.25, -0.25]]))
    net[1].bias.fill_(8.0)
out = io.BytesIO()  # a buffer, not a path: the folder in the zip is then called archive
torch.save(
    {
        "epoch": 1,
        "global_step": 1,
        "pytorch-lightning_version": "2.5.1",
        "state_dict": net.state_dict(),
        "loops": {},
        "callbacks": {},
        "optimizer_states": [optimiser.state_dict()],
        "lr_schedulers": [scheduler.state_dict()],
    },
    out,
)
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "genuine.ckpt"), "wb") as handle:
    handle.write(out.getvalue())
