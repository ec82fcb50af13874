#!/usr/bin/env python3
# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Makes the demo's data: q, k and v of one attention layer over a video clip.

    demo_clip.py OUT.safetensors [--photo FILE] [--object FILE] [--frames-to DIR] [--features-to FILE.safetensors]

Clip. ffmpeg pans and zooms over a photograph while a second photograph, its dark background cut away, passes in front
of it: 49 frames of 480 x 720, 8 per second. The default photographs are those of Debian's package mate-backgrounds.

Tokens. The grid is CogVideoX's, 13 x 30 x 45 (t, h, w) = 17550 tokens in raster order, w fastest. Latent frame 0 stands
for frame 0 alone (repeated 4 times), latent frame i > 0 for frames 4i-3 to 4i, and a token for 16 x 16 pixels of these:
a patch of 4 x 16 x 16 pixels and 3 channels.

Features. x [17550, 192]: in each channel of (luma, blue - luma, red - luma), the orthonormal DCT coefficients of the
patch at temporal frequency a = 0, 1 and spatial frequencies b, d = 0 to 3 (96 numbers), compressed by
sign(c) * sqrt(|c|), next to their mean over the 3 x 3 neighbours of the same latent frame. Each of the 192 numbers is
brought to mean 0 and deviation (1 + a + b + d)^-1.5, so that what a patch shows counts for more than its grain.

Heads. For head n of 2, with fixed random matrices A, B, C, D [192, 64] and the position vector p [64]:

    q = R(g norm(norm(x (A + B / 2)) + p))      k = R(g norm(norm(x (A + C / 2)) + p))      v = x D / |x|

norm() scales a row to length 8 (qk-norm), g is GAIN, and |x| the root mean square length of the rows of x. A is what
queries and keys share: similar patches attend to each other. R is 3-D RoPE as in CogVideoX-5B: channels 0-15 turn by t,
16-39 by h and 40-63 by w, each group in pairs (2i, 2i + 1) by position * 10000^(-2i / group size). p is constant over
the tokens, like a bias, and lies in the fast pairs: of t in head 0, which so prefers nearby frames (a "spatial" head),
of h and w in head 1, which so prefers its own place in every frame (a "temporal" head).

Temperature. Scores are q.k / sqrt(64), between -8 GAIN^2 and 8 GAIN^2. GAIN = 1.4 and |p| = 6 put the median perplexity
of the softmax, exp(entropy), at some hundred of the 17550 keys, and about 90 % of its mass on a tenth of them: neither
uniform (17550) nor one-hot (1). Both are chosen, not taken from a trained model. The script prints the percentiles.

Output. q, k, v: float32 [1, 2, 17550, 64], and the metadata grid, fps, photo, object. With --features-to also x:
float32 [17550, 192], in a file of its own.
"""

import argparse
import pathlib
import subprocess
import sys

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

PHOTO_FOLDER = pathlib.Path("/usr/share/backgrounds/mate/nature")
FRAMES, HEIGHT, WIDTH, FPS = 49, 480, 720, 8
PATCH_T, PATCH = 4, 16
GRID = (1 + (FRAMES - 1) // PATCH_T, HEIGHT // PATCH, WIDTH // PATCH)
TOKENS = GRID[0] * GRID[1] * GRID[2]
HEADS, HEAD_DIM = 2, 64
ROPE_GROUPS = (16, 24, 24)
FALLOFF = 1.5
GAIN = 1.4
POSITION_STRENGTH = 6.0
SEED = 20240812


def fail(message):
    sys.exit(f"demo_clip.py: error: {message}")


def camera_filter():
    """ffmpeg's filter graph: input 0 under a moving camera, input 1 passing in front from left to right."""
    last = FRAMES - 1
    camera = (
        "scale=3840:2560:force_original_aspect_ratio=increase,crop=3840:2560,"
        f"zoompan=z='1.9-0.5*on/{last}'"
        f":x='(iw-iw/zoom)*(0.25+0.5*on/{last})':y='(ih-ih/zoom)*(0.35+0.2*on/{last})'"
        f":d={FRAMES}:s={WIDTH}x{HEIGHT}:fps={FPS}"
    )
    passer = "scale=-2:300,format=rgba,colorkey=black:0.25:0.08"
    move = f"overlay=x='-w+(W+w)*n/{last}':y='H-h+20+20*sin(n/8)':eof_action=repeat"
    return f"[0]{camera}[back];[1]{passer}[front];[back][front]{move},format=rgb24"


def render(ffmpeg, photo, passer):
    """The clip as uint8 [49, 480, 720, 3]."""
    for path in (photo, passer):
        if not path.is_file():
            fail(f"expected a photograph at {path}, but there is none (Debian: apt-get install mate-backgrounds)")
    command = [ffmpeg, "-v", "error", "-i", photo, "-i", passer, "-filter_complex", camera_filter()]
    command += ["-frames:v", FRAMES, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    try:
        result = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True)
    except OSError as error:
        fail(f"cannot run ffmpeg: {error} (Debian: apt-get install ffmpeg)")
    expected = FRAMES * HEIGHT * WIDTH * 3
    if result.returncode != 0 or len(result.stdout) != expected:
        fail(
            f"expected {expected} bytes of video from ffmpeg, but got {len(result.stdout)} and exit status "
            f"{result.returncode}: {result.stderr.decode(errors='replace').strip()}"
        )
    return np.frombuffer(result.stdout, np.uint8).reshape(FRAMES, HEIGHT, WIDTH, 3)


def to_patches(frames):
    """[17550, 4, 16, 16, 3]: luma and two colour differences of each token's pixels."""
    rgb = frames.astype(np.float32) / 255
    luma = rgb @ np.array([0.299, 0.587, 0.114], np.float32)
    pixels = np.stack([luma, rgb[..., 2] - luma, rgb[..., 0] - luma], axis=-1)
    pixels = np.concatenate([np.repeat(pixels[:1], PATCH_T - 1, axis=0), pixels])
    t, h, w = GRID
    patches = pixels.reshape(t, PATCH_T, h, PATCH, w, PATCH, 3)
    return patches.transpose(0, 2, 4, 1, 3, 5, 6).reshape(TOKENS, PATCH_T, PATCH, PATCH, 3)


def dct_basis(size, count):
    """The first `count` rows of the orthonormal DCT-II matrix."""
    frequency, place = np.arange(count)[:, None], np.arange(size)[None, :]
    basis = np.cos(np.pi * frequency * (2 * place + 1) / (2 * size)) * np.sqrt(2 / size)
    basis[0] /= np.sqrt(2)
    return basis.astype(np.float32)


def neighbour_mean(features):
    """The mean over the 3 x 3 neighbours in a latent frame, the edges repeated."""
    t, h, w = GRID
    padded = np.pad(features.reshape(t, h, w, -1), ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    return sum(padded[:, i : i + h, j : j + w] for i in range(3) for j in range(3)).reshape(TOKENS, -1) / 9


def to_features(patches):
    """[17550, 192], each column of mean 0."""
    time, space = dct_basis(PATCH_T, 2), dct_basis(PATCH, 4)
    spectrum = np.einsum("nthwc,at,bh,dw->nabdc", patches, time, space, space, optimize=True).reshape(TOKENS, -1)
    spectrum = np.sign(spectrum) * np.sqrt(np.abs(spectrum))
    a, b, d, _ = np.indices((2, 4, 4, 3)).reshape(4, -1)
    features = np.concatenate([spectrum, neighbour_mean(spectrum)], axis=1)
    deviation = np.maximum(features.std(0), 1e-6)
    return (features - features.mean(0)) / deviation / np.tile(1 + a + b + d, 2) ** FALLOFF


def rope(x):
    """Rotates the channel pairs of x [17550, 64] by the tokens' coordinates."""
    coordinates = np.stack(np.meshgrid(*map(np.arange, GRID), indexing="ij")).reshape(3, TOKENS)
    angles = [
        place[:, None] * 10000.0 ** (-np.arange(0, size, 2) / size) for place, size in zip(coordinates, ROPE_GROUPS)
    ]
    angle = np.concatenate(angles, axis=1)
    even, odd = x[:, 0::2], x[:, 1::2]
    turned = np.stack([even * np.cos(angle) - odd * np.sin(angle), even * np.sin(angle) + odd * np.cos(angle)], axis=-1)
    return turned.reshape(TOKENS, HEAD_DIM)


def position_vector(head):
    """Length POSITION_STRENGTH, even over the 4 fastest pairs of t (head 0) or of h and of w (head 1)."""
    vector = np.zeros(HEAD_DIM)
    starts = (0,) if head == 0 else (16, 40)
    for start in starts:
        vector[start : start + 8 : 2] = 1
    return vector * POSITION_STRENGTH / np.linalg.norm(vector)


def norm(x):
    """Each row at length sqrt(64)."""
    return x * (np.sqrt(HEAD_DIM) / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-6))


def project(x):
    """q, k, v: float32 [1, 2, 17550, 64]."""
    random = np.random.default_rng(SEED)
    length = np.sqrt(np.mean(np.sum(x**2, axis=1)))
    heads = []
    for head in range(HEADS):
        shared, own_q, own_k, values = random.standard_normal((4, x.shape[1], HEAD_DIM))
        p = position_vector(head)
        q, k = (rope(GAIN * norm(norm(x @ (shared + own / 2)) + p)) for own in (own_q, own_k))
        heads.append((q, k, x @ values / length))
    return [np.stack(parts)[None].astype(np.float32) for parts in zip(*heads)]


def perplexities(q, k, samples=512):
    """exp(entropy) of the softmax rows of evenly spread queries, [2, samples]."""
    rows = np.linspace(0, TOKENS - 1, samples).astype(int)
    result = []
    for head in range(HEADS):
        scores = q[0, head, rows] @ k[0, head].T / np.sqrt(HEAD_DIM)
        p = np.exp(scores - scores.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        result.append(np.exp(-np.sum(p * np.log(p + 1e-30), axis=1)))
    return np.array(result)


def main():
    parser = argparse.ArgumentParser(description="Makes q, k and v of one attention layer over a video clip.")
    parser.add_argument("output", type=pathlib.Path, help="the .safetensors file to write")
    parser.add_argument("--photo", type=pathlib.Path, default=PHOTO_FOLDER / "LadyBird.jpg", help="the background")
    parser.add_argument("--object", type=pathlib.Path, default=PHOTO_FOLDER / "YellowFlower.jpg", help="what passes")
    parser.add_argument("--ffmpeg", default="ffmpeg", help="the ffmpeg program")
    parser.add_argument("--frames-to", type=pathlib.Path, help="a folder for every 12th frame as PNG")
    parser.add_argument("--features-to", type=pathlib.Path, help="the .safetensors file for the features")
    arguments = parser.parse_args()

    if arguments.output.suffix != ".safetensors" or not arguments.output.resolve().parent.is_dir():
        fail(f"expected a .safetensors file in an existing folder, but got {arguments.output}")
    frames = render(arguments.ffmpeg, arguments.photo, arguments.object)
    if arguments.frames_to:
        arguments.frames_to.mkdir(parents=True, exist_ok=True)
        for index in range(0, FRAMES, 12):
            Image.fromarray(frames[index]).save(arguments.frames_to / f"frame-{index:02}.png")
    features = to_features(to_patches(frames))
    q, k, v = project(features)
    metadata = {
        "grid": "x".join(map(str, GRID)),
        "fps": str(FPS),
        "photo": arguments.photo.name,
        "object": arguments.object.name,
    }
    save_file({"q": q, "k": k, "v": v}, arguments.output, metadata=metadata)
    if arguments.features_to:
        save_file({"x": features.astype(np.float32)}, arguments.features_to, metadata=metadata)
    for head, values in enumerate(perplexities(q, k)):
        low, middle, high = np.percentile(values, [10, 50, 90])
        print(f"head {head}: perplexity {low:.0f} / {middle:.0f} / {high:.0f} of {TOKENS} keys (10, 50, 90 %)")
    print(f"wrote {arguments.output}: q, k, v float32 {list(q.shape)}, grid {metadata['grid']}")


if __name__ == "__main__":
    main()
