# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Trains the model on clips that are drawn as it goes. It stops when the steps are done or the time is up.

    python -m vdit.train OUT --seconds=480
    python -m vdit.train OUT2 --from=OUT/checkpoint --seconds=480

OUT gets loss.csv, and every now and then weights.safetensors (the averaged ones), checkpoint/, loss.png and a sheet of
samples.
"""

import contextlib
import csv
import json
import pathlib
import time

import numpy as np

from .command import need_pytorch

if __name__ == "__main__":
    need_pytorch("train.py")

import torch  # noqa: E402

from .checkpoint import load_checkpoint, save_checkpoint, state_of  # noqa: E402
from .command import Parser, folder, guard, whole  # noqa: E402
from .config import CLASSES, Config, Place, tokens_of  # noqa: E402
from .dit import Dit, Sampler  # noqa: E402
from .flow import sample, shift_time  # noqa: E402
from .muon import Muon  # noqa: E402
from .render import Renderer, load_textures, random_labels  # noqa: E402
from .weights import save_weights  # noqa: E402

SMALL, MIDDLE, LARGE = (8, 16, 16), (12, 24, 24), (16, 32, 32)
TINY = Config(width=64, depth=2, heads=2, hidden=128, rope=(8, 12, 12))
WARM_UP, FIRST_LARGE = 100, 1500
NOISE = 0.5  # mean of the times' logits before they are shifted
NO_CLASS_SHARE = 0.1


def parse_options(arguments=None):
    parser = Parser(prog="train.py", description="Trains the video diffusion transformer.")
    parser.add_argument("out", type=folder, help="a folder")
    parser.add_argument("--from", dest="start", type=pathlib.Path, help="the checkpoint of an earlier run")
    parser.add_argument("--steps", type=whole(1, 10**7), default=9000, help="of all runs together (default: 9000)")
    parser.add_argument("--seconds", type=whole(1, 10**6), default=480, help="of this run (default: 480)")
    parser.add_argument("--tokens", type=whole(1, 10**8), default=131072, help="in a step (default: 131072)")
    parser.add_argument("--lr", type=float, default=3e-3, help="of Muon; a third of it of AdamW (default: 0.003)")
    parser.add_argument("--seed", type=whole(0, 10**9 - 1), default=1)
    parser.add_argument("--sheet-every", type=whole(1, 10**7), default=1500, help="in steps (default: 1500)")
    parser.add_argument("--no-compile", action="store_true", help="do not compile the blocks")
    parser.add_argument("--tiny", action="store_true", help="a very small model on very small grids, to try the script")
    return parser.parse_args(arguments)


def choose_grid(step, tiny):
    """Mostly small grids, and only such at first."""
    if tiny:
        return (2, 4, 4) if step % 2 else (4, 4, 4)
    share = np.random.default_rng([step, 2]).random()
    return SMALL if step < FIRST_LARGE or share > 0.3 else MIDDLE if share > 0.2 else LARGE


def learning_rate(step, first, steps):
    """Relative: rises over WARM_UP steps, also after a restart at step `first`, and falls to 0 over the second half."""
    return min(1.0, (step - first + 1) / WARM_UP, max(0.0, 2 * (1 - step / steps)))


class Training:
    def __init__(self, options, textures):
        self.options = options
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(options.seed)
        self.model = Dit(TINY if options.tiny else Config())
        initialise(self.model)
        self.model.to(self.device)
        self.average = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        inside = [p for name, p in self.model.named_parameters() if "blocks." in name and name.endswith("weight")]
        chosen = {id(p) for p in inside}
        others = [p for p in self.model.parameters() if id(p) not in chosen]
        fused = self.device.type == "cuda"
        self.optimizers = [
            Muon(inside, options.lr),
            torch.optim.AdamW(others, options.lr / 3, betas=(0.9, 0.98), weight_decay=0.0, fused=fused),
        ]
        self.step = self.first = 0
        if options.start:
            self.step = self.first = load_checkpoint(options.start, self.model, self.average, self.optimizers)
        self.renderer = Renderer(textures, self.device)
        if not options.no_compile:
            torch._dynamo.config.recompile_limit = 64
            torch._dynamo.config.suppress_errors = True  # what cannot be compiled runs as it is
            for block in self.model.blocks:
                block.compile(dynamic=False)

    def train_step(self):
        """Returns the grid and the loss of one step, the latter still on the device."""
        step, options = self.step, self.options
        grid = choose_grid(step, options.tiny)
        count = max(1, options.tokens // tokens_of(grid))
        label = random_labels([options.seed, step], count)
        x = self.renderer.clips([options.seed, step], label, grid)
        loss = self.loss(x, label, grid, np.random.default_rng([options.seed, step, 3]))
        for optimizer, lr in zip(self.optimizers, (options.lr, options.lr / 3)):
            for group in optimizer.param_groups:
                group["lr"] = lr * learning_rate(step, self.first, options.steps)
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.update_average()
        self.step += 1
        return grid, loss.detach()

    def loss(self, x, label, grid, random):
        """Mean square error of the velocity; x [B, N, C], label [B] NumPy."""
        label = np.where(random.random(len(label)) < NO_CLASS_SHARE, self.model.config.no_class(), label)
        time = shift_time(1 / (1 + np.exp(-random.normal(NOISE, 1, len(x)))), grid)
        label = torch.from_numpy(label).to(self.device)
        time = torch.from_numpy(time.astype(np.float32)).to(self.device)
        generator = torch.Generator(self.device).manual_seed(int(random.integers(2**62)))
        noise = torch.randn(x.shape, device=self.device, generator=generator)
        z = torch.lerp(x, noise, time[:, None, None])
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            guess = self.model(z, time, label, Place(grid), trace=False)
        error = (guess.float() - x) / time.clamp(min=0.05)[:, None, None]
        return error.square().mean()

    @torch.no_grad()
    def update_average(self):
        weights = [p.detach() for p in self.model.parameters()]
        torch._foreach_lerp_(list(self.average.values()), weights, 1 - min(0.999, (1 + self.step) / (10 + self.step)))

    def save(self):
        save_checkpoint(self.options.out / "checkpoint", state_of(self.model, self.average, self.optimizers), self.step)
        about = {"steps": str(self.step), "data_seed": str(self.options.seed)}
        save_weights(self.options.out / "weights.safetensors", self.average, self.model.config, about)

    def save_sheet(self):
        from .pictures import curve, sheet

        grid = (2, 4, 4) if self.options.tiny else SMALL
        weights = {name: tensor.cpu().numpy() for name, tensor in self.average.items()}
        sampler = Sampler(weights, self.model.config, self.device)
        with autocast(self.device):
            videos = sample(sampler, range(len(CLASSES)), range(len(CLASSES)), grid, steps=20)
        sheet(videos, CLASSES).save(self.options.out / f"sheet-{self.step:05}.png")
        losses = read_losses(self.options.out / "loss.csv")
        if losses:
            curve(losses).save(self.options.out / "loss.png")


def autocast(device):
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else contextlib.nullcontext()


def initialise(model):
    """Gates, and so all blocks, begin at zero; so does the last layer."""
    for name, parameter in model.named_parameters():
        if parameter.dim() == 2:
            torch.nn.init.normal_(parameter, std=0.5 / parameter.shape[1] ** 0.5)
        elif name.endswith("bias"):
            torch.nn.init.zeros_(parameter)
    for name, parameter in model.named_parameters():
        if name.startswith(("modulate", "final", "size")) or name.endswith("modulation"):
            torch.nn.init.zeros_(parameter)
    torch.nn.init.normal_(model.class_table, std=0.5)


def run(options):
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "options.json").write_text(json.dumps(vars(options), default=str, indent=1) + "\n")
    begin = time.monotonic()
    training = Training(options, load_textures())
    with open(options.out / "loss.csv", "w", newline="") as file:
        rows, waiting = csv.writer(file), []
        rows.writerow(["step", "grid", "loss", "seconds"])
        while training.step < options.steps and time.monotonic() - begin < options.seconds:
            waiting.append((training.step, *training.train_step()))
            if len(waiting) == 50 or training.step in (1, 10) or training.step == options.steps:
                report(rows, waiting, options, time.monotonic() - begin)
                file.flush()
            if training.step % options.sheet_every == 0:
                training.save()
                training.save_sheet()
        if waiting:
            report(rows, waiting, options, time.monotonic() - begin)
    training.save()
    training.save_sheet()
    print(f"\nstep {training.step}, {time.monotonic() - begin:.0f} s", flush=True)


def read_losses(path):
    """Grid -> (steps, losses), of the grids with enough of them for a curve."""
    result = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            steps, losses = result.setdefault(row["grid"], ([], []))
            steps.append(int(row["step"]))
            losses.append(float(row["loss"]))
    return {name: series for name, series in result.items() if len(series[0]) >= 50}


def report(rows, waiting, options, seconds):
    """Writes the losses that were waiting, and draws the progress bar."""
    for step, grid, loss in waiting:
        rows.writerow([step, "x".join(map(str, grid)), f"{loss.item():.5f}", f"{seconds:.1f}"])
    small = [loss.item() for _, grid, loss in waiting if grid != LARGE and grid != MIDDLE]
    step = waiting[-1][0] + 1
    bar = ("#" * (30 * step // options.steps)).ljust(30, ".")
    mean = sum(small) / len(small) if small else float("nan")
    print(f"[{bar}] step {step} of {options.steps}, {seconds:.0f} s, loss {mean:.4f}", flush=True)
    waiting.clear()


def main(arguments=None):
    guard("train.py", run, parse_options(arguments))


if __name__ == "__main__":
    main()
