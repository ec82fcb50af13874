# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Checks that need PyTorch: agreement with NumPy and with a GPU, training and its restart, the clips."""

import pathlib
import tempfile
import unittest

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open

from vdit import checkpoint, dit, dit_numpy, evaluate, flow, train
from vdit.checkpoint import load_checkpoint, save_checkpoint, state_of
from vdit.config import CLASSES, Config, VditError, shapes
from vdit.muon import orthogonal
from vdit.render import Renderer
from vdit.weights import load_weights, save_weights

HERE = pathlib.Path(__file__).parent
TEXTURES = F.interpolate(torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(1)), (256, 256)) * 2 - 1


class Agreement(unittest.TestCase):
    def test_backends(self):
        """PyTorch, NumPy and what a GPU gave, from the same seed and the shipped weights."""
        with safe_open(HERE / "cuda.safetensors", "np") as file:
            about, cuda = file.metadata(), file.get_tensor("video")
        shape, steps = tuple(map(int, about["grid"].split("x"))), int(about["steps"])
        what = [int(about["seed"])], [CLASSES.index(about["class"])], shape, steps
        weights, config = load_weights()
        with_torch = flow.sample(dit.Sampler(weights, config), *what)
        with_numpy = flow.sample(dit_numpy.Sampler(weights, config), *what)
        for a, b in ((with_torch, with_numpy), (with_torch, cuda), (with_numpy, cuda)):
            self.assertGreater(flow.psnr(a, b), 45)

    def test_own_attention(self):
        """Attention in NumPy put into the model in PyTorch."""

        def attention(q, k, v, place):
            return torch.from_numpy(dit_numpy.dense(q.numpy(), k.numpy(), v.numpy(), place))

        weights, config = load_weights()
        videos = [
            flow.sample(dit.Sampler(weights, config, attention=one), [4], [7], (2, 3, 5), steps=2)
            for one in (dit.dense, attention)
        ]
        self.assertGreater(flow.psnr(*videos), 80)

    def test_shapes(self):
        self.assertEqual({name: tuple(p.shape) for name, p in dit.Dit().named_parameters()}, shapes(Config()))


class Training(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def training(self, *options):
        arguments = [str(self.folder), "--tiny", "--no-compile", "--steps=400", "--tokens=256", *options]
        return train.Training(train.parse_options(arguments), TEXTURES)

    def test_restart(self):
        """The loss falls, and a restart goes on as if there had been no break."""
        training = self.training()
        losses = [training.train_step()[1].item() for _ in range(60)]
        self.assertLess(np.mean(losses[-10:]), 0.8 * np.mean(losses[:10]))
        training.save()
        self.assertEqual(load_weights(self.folder / "weights.safetensors")[1], train.TINY)
        again = self.training(f"--from={self.folder / 'checkpoint'}")
        self.assertEqual(again.step, 60)
        for name, parameter in training.model.named_parameters():
            self.assertTrue(torch.equal(parameter, dict(again.model.named_parameters())[name]))
        self.assertAlmostEqual(again.train_step()[1].item() / training.train_step()[1].item(), 1, 5)

    def test_parts(self):
        """A checkpoint in several files, without the optimizers' averages."""
        training = self.training()
        self.addCleanup(setattr, checkpoint, "PART_BYTES", checkpoint.PART_BYTES)
        checkpoint.PART_BYTES = 2**18
        save_checkpoint(self.folder, state_of(training.model, training.average, []), 7)
        self.assertGreater(len(list(self.folder.glob("part-*"))), 2)
        self.assertEqual(load_checkpoint(self.folder, training.model, training.average, training.optimizers), 7)

    def test_damaged_checkpoint(self):
        training = self.training()
        save_checkpoint(self.folder, state_of(training.model, training.average, []), 7)
        part = self.folder / "part-0.safetensors"
        part.write_bytes(part.read_bytes()[:-1])
        with self.assertRaisesRegex(VditError, "^checkpoint: expected 1 whole parts in '.*', but got: "):
            self.training(f"--from={self.folder}")
        part.unlink()
        with self.assertRaisesRegex(VditError, "^checkpoint: expected 1 whole parts in '.*', but got: "):
            self.training(f"--from={self.folder}")

    def test_other_checkpoint(self):
        """Of a model of another size, and with a damaged list of parts."""
        training = self.training()
        state = state_of(training.model, training.average, [])
        save_checkpoint(self.folder, state | {"weight.patch.bias": torch.zeros(3)}, 7)
        expected = r"^checkpoint: expected weight.patch.bias \[64\] in '.*', but got "
        with self.assertRaisesRegex(VditError, expected + r"\[3\]$"):
            self.training(f"--from={self.folder}")
        del state["weight.patch.bias"]
        save_checkpoint(self.folder, state, 7)
        with self.assertRaisesRegex(VditError, expected + "none$"):
            self.training(f"--from={self.folder}")
        (self.folder / "step.json").write_text("{")
        with self.assertRaisesRegex(VditError, "^checkpoint: expected the step and the number of parts in '.*', but "):
            self.training(f"--from={self.folder}")

    def test_missing_checkpoint(self):
        with self.assertRaisesRegex(VditError, "^checkpoint: expected a folder with step.json, but '.*none' has none$"):
            self.training(f"--from={self.folder / 'none'}")

    def test_options(self):
        message = "^train.py: error: --steps: expected a number from 1 to 10000000, but got 'no'$"
        with self.assertRaisesRegex(SystemExit, message):
            self.training("--steps=no")

    def test_orthogonal(self):
        matrices = torch.randn(2, 24, 64, generator=torch.Generator().manual_seed(1))
        for x in (matrices, matrices.mT):
            values = torch.linalg.svdvals(orthogonal(x).float())
            self.assertGreater(values.min().item(), 0.6)
            self.assertLess(values.max().item(), 1.3)

    def test_evaluate(self):
        """Distances of all sets: other clips are nearer than frozen ones, and samples of noise are far."""
        weights = {name: np.zeros(shape, np.float32) for name, shape in shapes(train.TINY).items()}
        sampler = dit.Sampler(weights, train.TINY)
        options = evaluate.parse_options(["out.json", "--grid=5x4x4", "--count=64", "--batch=40", "--steps=1"])
        distances, samples = evaluate.evaluate(sampler, TEXTURES, options)
        self.assertEqual(samples.shape, (64, 5, 16, 16, 3))
        self.assertEqual(list(distances), ["samples", "other clips", "frames shuffled", "frozen"])
        self.assertEqual(min(distances, key=distances.get), "other clips")
        self.assertGreater(distances["frozen"], 10 * distances["other clips"])

    def test_evaluate_errors(self):
        weights = {name: np.zeros(shape, np.float32) for name, shape in shapes(train.TINY).items()}
        sampler = dit.Sampler(weights, train.TINY)
        for grid, count, message in (
            ("4x4x4", 4, "^grid: expected 5 frames or more and even numbers of tokens along h and w, but got 4x4x4$"),
            ("5x3x4", 4, "^grid: expected 5 frames or more and even numbers of tokens along h and w, but got 5x3x4$"),
            ("999x998x998", 4, "^grid 999x998x998: expected a grid that fits into .* for 8 clips at once$"),
            ("9x98x98", 1000000, "^grid 9x98x98: expected a grid that fits into .* for sets of 1000000 clips$"),
        ):
            options = evaluate.parse_options(["out.json", f"--grid={grid}", f"--count={count}", "--batch=4"])
            with self.assertRaisesRegex(VditError, message):
                evaluate.check(sampler, options)

    def test_weights(self):
        """Weights are rounded to bfloat16 and read back without PyTorch."""
        weights = dict(dit.Dit(train.TINY).named_parameters())
        save_weights(self.folder / "w.safetensors", {name: p.detach() for name, p in weights.items()}, train.TINY)
        for name, array in load_weights(self.folder / "w.safetensors")[0].items():
            self.assertTrue(np.array_equal(array, weights[name].detach().bfloat16().float().numpy()))


class Clips(unittest.TestCase):
    def test_sizes(self):
        """A larger clip shows the same scene; the same seed gives the same clip."""
        labels = np.arange(len(CLASSES))
        renderer = Renderer(TEXTURES)
        small, large = (renderer.video([9], labels, 4, side, side) for side in (32, 64))
        self.assertTrue(torch.equal(small, Renderer(TEXTURES).video([9], labels, 4, 32, 32)))
        self.assertLessEqual(small.abs().max().item(), 1)
        halved = large.unflatten(3, (32, 2)).unflatten(2, (32, 2)).mean((3, 5))
        self.assertGreater(flow.psnr(halved.numpy(), small.numpy()), 20)

    def test_tokens(self):
        tokens = Renderer(TEXTURES).clips([9], np.array([4, 5]), (3, 4, 5))
        video = Renderer(TEXTURES).video([9], np.array([4, 5]), 3, 16, 20)
        self.assertTrue(np.array_equal(flow.to_video(tokens.numpy(), (3, 4, 5)), video.numpy()))

    def test_all_move(self):
        video = Renderer(TEXTURES).video([9], np.arange(len(CLASSES)), 5, 32, 32)
        self.assertGreater((video[:, 1:] - video[:, :-1]).abs().mean((1, 2, 3, 4)).min().item(), 0.005)


if __name__ == "__main__":
    unittest.main()
