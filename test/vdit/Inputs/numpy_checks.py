# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Checks that need NumPy and safetensors alone: weights, errors, samples, dumps, statistics, distances."""

import contextlib
import io
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

import numpy as np
import weight_files
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file

from vdit import analyse, command, dump, flow, frechet, look, memory, motions, pictures, sample, statistics
from vdit.config import CHANNELS, CLASSES, Config, Place, VditError
from vdit.dit_numpy import Sampler, dense
from vdit.rope import rotary
from vdit.weights import WEIGHTS, load_weights

HERE = pathlib.Path(__file__).parent
ACTIVATIONS = WEIGHTS.parent / "activations"
GRID = (3, 2, 4)


class Files(unittest.TestCase):
    """A temporary folder with a small weight file."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.weights = self.folder / "tiny.safetensors"

    def expect_error(self, call, message):
        with self.assertRaises(VditError) as caught:
            call()
        self.assertRegex(str(caught.exception), message)

    def expect_exit(self, main, arguments, message):
        """A command ends with one line."""
        with self.assertRaises(SystemExit) as caught, contextlib.redirect_stderr(io.StringIO()):
            main(list(map(str, arguments)))
        self.assertRegex(str(caught.exception), message)
        self.assertNotIn("\n", str(caught.exception))


class Weights(Files):
    def expect_refusal(self, message):
        self.expect_error(lambda: load_weights(self.weights), message)

    def test_shipped(self):
        weights, config = load_weights()
        self.assertEqual(config, Config())
        self.assertLessEqual(WEIGHTS.stat().st_size, 16 * 2**20)
        self.assertTrue(all(np.isfinite(array).all() for array in weights.values()))
        with safe_open(WEIGHTS, "np") as file:
            self.assertGreater(int(file.metadata()["steps"]), 0)

    def test_missing(self):
        self.expect_refusal("^weights: expected a file, but '.*tiny.safetensors' is none$")

    def test_truncated(self):
        weight_files.write(self.weights, cut=100)
        self.expect_refusal("tiny.safetensors: expected a whole safetensors file of [0-9]+ bytes, but got: ")

    def test_other_file(self):
        weight_files.write(self.weights, metadata={"format": "pt"})
        self.expect_refusal("tiny.safetensors: expected metadata with format weft-vdit-1, but got pt$")

    def test_without_sizes(self):
        weight_files.write(self.weights, metadata={"format": "weft-vdit-1", "config": "{}"})
        self.expect_refusal("tiny.safetensors: expected the model's sizes in the metadata, but got: ")

    def test_sizes_that_do_not_fit(self):
        """In the header alone: they would fail inside the model otherwise."""
        for changed in ({"rope": (8, 12, 14)}, {"rope": (8, 24)}, {"depth": "2"}, {"heads": 0}, {"width": -64}):
            weight_files.write(self.weights, sizes=changed)
            self.expect_refusal("tiny.safetensors: expected heads and RoPE groups that divide the width, but got width")

    def test_other_shape(self):
        weight_files.write(self.weights, **{"patch.bias": (65,)})
        self.expect_refusal(r"tiny.safetensors: expected patch.bias to be BF16 \[64\], but got BF16 \[65\]$")

    def test_without_tensor(self):
        weight_files.write(self.weights, **{"patch.bias": None})
        self.expect_refusal("tiny.safetensors: expected a tensor patch.bias, but there is none$")

    def test_further_tensor(self):
        weight_files.write(self.weights, **{"more": (2,)})
        self.expect_refusal(r"tiny.safetensors: expected no tensor more, but got BF16 \[2\]$")


class Samples(Files):
    def setUp(self):
        super().setUp()
        weight_files.write(self.weights)
        self.sampler = Sampler(*load_weights(self.weights))

    def test_cuda_reference(self):
        """What a GPU gave for the shipped weights, with the seed, class and grid that its metadata names."""
        path = HERE / "cuda.safetensors"
        with safe_open(path, "np") as file:
            about, expected = file.metadata(), file.get_tensor("video")
        shape, steps = tuple(map(int, about["grid"].split("x"))), int(about["steps"])
        sampler = Sampler(*load_weights())
        video = flow.sample(sampler, [int(about["seed"])], [CLASSES.index(about["class"])], shape, steps)
        self.assertGreater(flow.psnr(video, expected), 45)
        other = flow.sample(sampler, [int(about["seed"]) + 1], [CLASSES.index(about["class"])], shape, steps)
        self.assertLess(flow.psnr(other, expected), 25)

    def test_own_attention(self):
        """An attention of the caller's sees every layer and step of both halves of the guidance."""
        places = []

        def attention(q, k, v, place):
            self.assertEqual(q.shape, (2, 2, 24, 32))
            places.append(place)
            return dense(q, k, v, place)

        sampler = Sampler(self.sampler.weights, self.sampler.config, attention)
        video = flow.sample(sampler, [1], [0], GRID, steps=3)
        self.assertEqual(video.shape, (1, 3, 8, 16, 3))
        self.assertEqual([(place.step, place.layer) for place in places], [(i, j) for i in range(3) for j in range(2)])
        self.assertEqual(flow.psnr(video, flow.sample(self.sampler, [1], [0], GRID, steps=3)), np.inf)

    def test_guidance(self):
        """1 is the prediction with the class alone; other classes and seeds give other videos."""
        z = flow.initial_noise(1, GRID)[None]
        with_class = self.sampler.predict(z, 1.0, np.array([3]), Place(GRID))
        video = flow.sample(self.sampler, [1], [3], GRID, steps=1, guidance=1)
        self.assertGreater(flow.psnr(video, flow.to_video(with_class, GRID)), 100)
        self.assertLess(flow.psnr(video, flow.sample(self.sampler, [1], [4], GRID, steps=1, guidance=1)), 100)
        self.assertLess(flow.psnr(video, flow.sample(self.sampler, [2], [3], GRID, steps=1, guidance=1)), 60)

    def test_times(self):
        for shape in (GRID, (16, 32, 32)):
            self.assertEqual([flow.shift_time(time, shape) for time in (0, 1)], [0, 1])
        self.assertEqual(flow.shift_time(0.5, (16, 32, 32)), 0.8)

    def test_rotary(self):
        """The first group turns with t alone, the second with h, the third with w."""
        cos, sin = (table.reshape(2, 3, 5, 16) for table in rotary((2, 3, 5), (8, 12, 12)))
        np.testing.assert_allclose(cos**2 + sin**2, 1, atol=1e-6)
        for axis, pairs in enumerate((slice(0, 4), slice(4, 10), slice(10, 16))):
            others = tuple(other for other in range(3) if other != axis)
            self.assertEqual(np.ptp(sin[..., pairs], axis=others).max(), 0)
            self.assertGreater(np.ptp(sin[..., pairs], axis=axis).min(), 0)

    def test_errors(self):
        self.expect_error(lambda: Config().index("sideways"), "^class: expected one of left, .*, but got 'sideways'$")
        too_large = r"^grid 999x999x999: expected a grid that fits into [0-9.]+ GiB of free memory, but this one needs"
        self.expect_error(lambda: flow.sample(self.sampler, [1], [0], (999, 999, 999)), too_large)
        out, weights = self.folder / "video.npy", f"--weights={self.weights}"
        for arguments, message in (
            ([out, "--class=sideways"], "^sample.py: error: class: expected one of left, .*, but got 'sideways'$"),
            ([out, "--grid=8x16"], "^sample.py: error: --grid: expected TxHxW, each from 1 to 9999, but got '8x16'$"),
            ([out, "--grid=999x999x999"], "^sample.py: error: grid 999x999x999: expected a grid that fits"),
            ([out, "--steps=0"], "^sample.py: error: --steps: expected a number from 1 to 1000, but got '0'$"),
            ([out, "--device=cuda"], "^sample.py: error: device: expected cpu with NumPy, but got cuda$"),
            ([self.folder / "video.mp4"], "^sample.py: error: out: expected a .gif or .png or .npy file in"),
            ([out, "--weights=none"], "^sample.py: error: weights: expected a file, but 'none' is none$"),
            ([self.folder / "none" / "video.npy"], "^sample.py: error: out: expected a .gif or .png or .npy file in"),
        ):
            self.expect_exit(sample.main, [weights, *arguments], message)

    def test_machine(self):
        """What the machine refuses while a command runs is one line, too; other errors are not hidden."""

        def run(error):
            raise error

        for error, message in (
            (OSError(28, "No space left on device", "a.npy"), "^sample.py: error: a.npy: No space left on device$"),
            (MemoryError("no 9 GiB"), "^sample.py: error: expected a grid .* that fit into memory, but got: no 9 GiB$"),
            (MemoryError(), "^sample.py: error: expected a grid .* that fit into memory, but got: out of memory$"),
            (RuntimeError("no memory: 9\nmore"), "^sample.py: error: expected a grid .* but got: no memory: 9$"),
        ):
            with self.assertRaisesRegex(SystemExit, message):
                command.guard("sample.py", run, error)
        self.assertRaises(RuntimeError, command.guard, "sample.py", run, RuntimeError("shapes"))

    def test_container(self):
        """Free memory under a container's limit, by both versions of control groups."""
        self.assertIsNone(memory.container_bytes(self.folder))
        for folder, limit, used in (("memory", "memory.limit_in_bytes", "total_rss"), (".", "memory.max", "anon")):
            (self.folder / folder).mkdir(exist_ok=True)
            (self.folder / folder / limit).write_text("1000\n")
            (self.folder / folder / "memory.stat").write_text(f"file 900\n{used} 300\n")
            self.assertEqual(memory.container_bytes(self.folder), 700)
            (self.folder / folder / limit).write_text("200\n")
            self.assertEqual(memory.container_bytes(self.folder), 0)
        (self.folder / "memory.max").write_text("max\n")
        (self.folder / "memory" / "memory.limit_in_bytes").unlink()
        self.assertIsNone(memory.container_bytes(self.folder))

    def test_command(self):
        out = self.folder / "videos.npy"
        sample.main([str(out), f"--weights={self.weights}", "--class=up,zoom", "--grid=3x2x4", "--steps=2", "--seed=5"])
        expected = flow.sample(self.sampler, [5, 6], [2, 15], GRID, steps=2)
        self.assertGreater(flow.psnr(np.load(out), expected), 80)

    def test_pictures(self):
        """A sheet with a row for each class, and a loop of all frames."""
        options = [f"--weights={self.weights}", "--class=up,zoom", "--grid=3x2x4", "--steps=1"]
        for name in ("sheet.png", "video.gif"):
            sample.main([str(self.folder / name), *options])
        with Image.open(self.folder / "sheet.png") as picture:
            self.assertEqual(picture.size, (pictures.LABEL + 3 * (16 + pictures.MARGIN), 2 * (8 + pictures.MARGIN)))
        with Image.open(self.folder / "video.gif") as picture:
            self.assertEqual((picture.size, picture.n_frames), ((32, 16), 3))

    def test_curve(self):
        picture = pictures.curve({"8x16x16": (list(range(200)), [1 / (1 + i) for i in range(200)])}, 300, 200)
        self.assertEqual(picture.size, (300, 200))
        self.assertLess(np.asarray(picture).min(), 50)

    def test_without_packages(self):
        """NumPy's environment has no PyTorch: one line says where the packages are named."""
        try:
            import torch  # noqa: F401
        except ImportError:
            message = "^sample.py: error: expected the packages of examples/vdit/requirements.txt, but got: .*torch"
            options = [f"--weights={self.weights}", "--backend=torch"]
            self.expect_exit(sample.main, [self.folder / "a.npy", *options], message)
            for name in ("train", "evaluate"):
                done = subprocess.run([sys.executable, "-m", f"vdit.{name}", self.folder / "a"], text=True,
                                      stderr=subprocess.PIPE)
                self.assertEqual(done.returncode, 1)
                self.assertRegex(done.stderr, f"^{name}.py: error: expected the packages of [^ ]*, but got: .*torch.*\n$")


class Dumps(Files):
    def setUp(self):
        super().setUp()
        weight_files.write(self.weights)

    def test_shapes(self):
        out = self.folder / "dump"
        options = ["--class=up", "--grid=3x2x4", "--layers=1", "--heads=1", "--at=0,2", "--steps=4", "--dtype=float32"]
        dump.main([str(out), f"--weights={self.weights}", *options])
        self.assertEqual(sorted(path.name for path in out.iterdir()), [f"layer1-step{i}.safetensors" for i in (0, 2)])
        with safe_open(out / "layer1-step2.safetensors", "np") as file:
            about = file.metadata()
        expected = {"grid": "3x2x4", "layer": "1", "heads": "1", "step": "2", "steps": "4", "class": "up", "seed": "1"}
        self.assertEqual(about, expected | {"time": "0.5"})
        tensors = load_file(out / "layer1-step2.safetensors")
        self.assertEqual({name: array.shape for name, array in tensors.items()}, dict.fromkeys("qkv", (1, 1, 24, 32)))

    def test_errors(self):
        for argument, message in (
            ("--layers=2", "^dump.py: error: layers: expected numbers below 2, but got 2$"),
            ("--heads=0,2", "^dump.py: error: heads: expected numbers below 2, but got 2$"),
            ("--at=40", "^dump.py: error: at: expected numbers below 40, but got 40$"),
        ):
            self.expect_exit(dump.main, [self.folder / "dump", f"--weights={self.weights}", argument], message)
        message = "^dump.py: error: out: expected a folder, but '.*tiny.safetensors' is none$"
        self.expect_exit(dump.main, [self.weights], message)

    def test_committed(self):
        """The activations that are shipped: shapes, metadata and size."""
        paths = sorted(ACTIVATIONS.glob("*/*.safetensors"))
        self.assertGreaterEqual(len(paths), 4)
        self.assertLessEqual(sum(path.stat().st_size for path in paths), 8 * 2**20)
        for path in paths:
            with safe_open(path, "np") as file:
                about = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}
            self.assertEqual(path.name, f"layer{about['layer']}-step{about['step']}.safetensors")
            self.assertEqual(path.parent.name, about["class"])
            self.assertIn(about["class"], CLASSES)
            tokens = np.prod(list(map(int, about["grid"].split("x"))))
            shape = 1, len(about["heads"].split(",")), tokens, Config().head_dim
            self.assertEqual({name: x.shape for name, x in tensors.items()}, dict.fromkeys("qkv", shape))
            self.assertTrue(all(np.isfinite(x).all() and x.astype(np.float32).std() > 0.05 for x in tensors.values()))


class Analysis(Files):
    def test_look(self):
        """The maps of a shipped head are probabilities; bad places and files are refused."""
        path = ACTIVATIONS / "pan" / "layer4-step20.safetensors"
        named = look.maps([path], [3, 4, 2])
        self.assertEqual(list(named), ["4.0, step 20", "4.2, step 20"])
        for p in named.values():
            self.assertAlmostEqual(p.sum(), 1, 4)
        self.assertGreater(named["4.0, step 20"][3].sum(), 0.5)
        self.assertEqual(look.draw(named, [3, 4, 2]).size, (look.LABEL + 8 * (look.SIDE + 2), 2 * (look.SIDE + 2)))
        out = self.folder / "look.png"
        message = "^look.py: error: token: expected t,h,w within 8x16x16, but got 3,4,16$"
        self.expect_exit(look.main, [out, path, "--token=3,4,16"], message)
        weight_files.write(self.weights)
        message = "^look.py: error: .*tiny.safetensors: expected a file of dump.py, but its metadata has no 'grid'$"
        self.expect_exit(look.main, [out, self.weights], message)
        message = "^look.py: error: .*none: expected a file of dump.py, but got: "
        self.expect_exit(look.main, [out, self.folder / "none"], message)

    def test_analyse(self):
        """A record and two pictures for a small model."""
        weight_files.write(self.weights)
        out, options = self.folder / "out.json", ["--class=up", "--grid=3x2x4", "--at=0,1", "--steps=2", "--queries=5"]
        analyse.main([str(out), f"--weights={self.weights}", f"--pictures={self.folder}", *options])
        record = json.loads(out.read_text())
        self.assertEqual([(head["layer"], head["head"]) for head in record["heads"]], [(0, 0), (0, 1), (1, 0), (1, 1)])
        for head in record["heads"]:
            self.assertAlmostEqual(np.sum(head["frames"], 1).min(), 1, 4)
        for name in ("heads.png", "offsets.png"):
            self.assertTrue((self.folder / name).is_file())

    def test_analyse_errors(self):
        weight_files.write(self.weights)
        for arguments, message in (
            (["out.json", "--grid=1x2x2"], "^analyse.py: error: grid: expected two tokens or more each way, but "),
            (["out.json", "--grid=99x99x99", "--queries=999999"], "^analyse.py: error: grid 99x99x99: .* queries$"),
            (["out.json", "--at=1,40"], "^analyse.py: error: at: expected numbers below 40, but got 40$"),
            (["none/out.json"], "^analyse.py: error: out: expected a .json file in an existing folder, but got '.*'$"),
            (["out.json", "--pictures=tiny.safetensors"], "^analyse.py: error: --pictures: expected a folder, but "),
        ):
            places = [self.folder / arguments[0], *(a.replace("=tiny", f"={self.folder}/tiny") for a in arguments[1:])]
            self.expect_exit(analyse.main, [f"--weights={self.weights}", *places], message)

    def look(self, allowed, grid=(4, 6, 6)):
        """The numbers of a head that attends evenly where allowed(query, key), whose coordinates are t, h, w."""
        rows = statistics.choose_queries(grid, 40)
        place = statistics.coordinates(grid)
        p = allowed(place[:, rows, None], place[:, None]).astype(np.float32)
        return statistics.masses(p / p.sum(1, keepdims=True), rows, grid)

    def test_masses(self):
        spatial = self.look(lambda q, k: q[0] == k[0])
        self.assertAlmostEqual(spatial["same_frame"], 1, 5)
        self.assertAlmostEqual(spatial["first_frame"], 0, 5)
        temporal = self.look(lambda q, k: (q[1] == k[1]) & (q[2] == k[2]))
        self.assertAlmostEqual(temporal["same_place"], 0.75, 5)
        self.assertAlmostEqual(temporal["near"], 0.25, 5)
        sink = self.look(lambda q, k: (k[0] == 0) & (q[0] >= 0))
        self.assertAlmostEqual(sink["first_frame"], 1, 5)
        self.assertAlmostEqual(sink["perplexity"], 0.25, 5)
        even = statistics.even_masses((4, 6, 6), statistics.choose_queries((4, 6, 6), 40))
        self.assertAlmostEqual(even["same_frame"], 0.25, 5)
        verdicts = [statistics.verdict(x) for x in (spatial, temporal, sink, even)]
        self.assertEqual(verdicts, ["spatial", "temporal", "content", "even"])

    def test_similarity(self):
        grid = (4, 16, 16)
        along_w = np.random.default_rng(1).standard_normal((4, 16, 1, 8)).repeat(16, 2).reshape(-1, 8)
        t, h, w = statistics.similarity(along_w, grid)
        self.assertAlmostEqual(w, 1, 5)
        self.assertLess(max(abs(t), abs(h)), 0.2)

    def test_maps(self):
        rows = statistics.choose_queries((2, 20, 20), 800)
        p = np.eye(800, dtype=np.float32)[rows]
        offsets = statistics.offset_map(p, rows, (2, 20, 20))
        self.assertAlmostEqual(offsets[statistics.REACH, statistics.REACH], 1, 5)
        np.testing.assert_allclose(statistics.frame_map(p, rows, (2, 20, 20)), np.eye(2), atol=1e-6)
        first = statistics.frame_map(p[:5], rows[:5], (2, 20, 20))  # no queries in frame 1
        np.testing.assert_allclose(first, [[1, 0], [0, 0]], atol=1e-6)


class Data(unittest.TestCase):
    def test_scenes(self):
        """The same from the same seed, for every length; all classes move."""
        labels = np.arange(len(CLASSES)).repeat(4)
        one, two = (motions.draw_scenes(np.random.default_rng(5), labels, frames) for frames in (8, 15))
        for name in ("centre", "angle", "radius", "camera"):
            np.testing.assert_allclose(getattr(one, name), getattr(two, name)[:, ::2], atol=1e-5)
        moves = [np.abs(np.diff(getattr(one, name), axis=1)).reshape(len(labels), -1).max(1) for name in vars(one)]
        self.assertGreater(np.max(moves, 0).min(), 0.02)

    def test_directions(self):
        for name, axis, sign in (("left", 0, -1), ("right", 0, 1), ("up", 1, -1), ("down", 1, 1)):
            scenes = motions.draw_scenes(np.random.default_rng(3), np.full(9, CLASSES.index(name)), 8)
            moved = scenes.centre[:, -1, 0] - scenes.centre[:, 0, 0]
            self.assertGreater((sign * moved[:, axis]).min(), 0.9)
            self.assertEqual(np.abs(moved[:, 1 - axis]).max(), 0)

    def test_distance(self):
        """0 to itself; shuffled and frozen clips are far from others."""
        random = np.random.default_rng(2)
        start, speed = random.uniform(-1, 1, (2, 200, 1, 1, 1, 3)), np.arange(8).reshape(1, 8, 1, 1, 1)
        videos = np.sin(start[0] * 3 + 0.3 * start[1] * speed + np.arange(256).reshape(1, 1, 16, 16, 1) / 40)
        one, two = videos[:100], videos[100:]
        reference = frechet.features(one)
        self.assertEqual(reference.shape, (100, 54))
        self.assertLess(frechet.distance(reference, reference), 1e-3)
        near = frechet.distance(frechet.features(two), reference)
        self.assertGreater(frechet.distance(frechet.features(frechet.shuffle_frames(two)), reference), 2 * near)
        self.assertGreater(frechet.distance(frechet.features(frechet.freeze(two)), reference), 10 * near)

    def test_sizes(self):
        self.assertEqual(flow.to_video(np.zeros((2, 24, CHANNELS)), GRID).shape, (2, 3, 8, 16, 3))
        video = flow.to_video(np.arange(24 * CHANNELS, dtype=np.float32)[None].reshape(1, 24, CHANNELS), GRID)
        self.assertEqual(video[0, 1, 4, 8, 0], (8 + 4 + 2) * CHANNELS)


if __name__ == "__main__":
    unittest.main()
