// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Writing pictures.

#include "lib/Explain/Picture.h"

#include <fmt/format.h>
#include <png.h>

#include <algorithm>
#include <cmath>

using namespace weft;
using namespace weft::explain;

constexpr int64_t kPixels = 1600;
constexpr size_t kShades = 9;

void Picture::addCells(int64_t x, int64_t y, int64_t columns, int64_t rows,
                       const std::function<size_t(int64_t, int64_t)> &kindOf) {
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t begin = 0, end = 0; begin < columns; begin = end) {
      size_t kind = kindOf(begin, row);
      while (end < columns && kindOf(end, row) == kind)
        ++end;
      rectangles.push_back({kind, x + begin, y + row, end - begin, 1});
    }
}

std::vector<Kind> explain::shades() {
  constexpr std::array<double, 3> light = {238, 238, 238}, dark = {17, 51, 85};
  std::vector<Kind> kinds;
  for (size_t i = 0; i < kShades; ++i) {
    double share = static_cast<double>(i) / (kShades - 1);
    Kind kind{fmt::format("s{}", i), {}};
    for (int c = 0; c < 3; ++c)
      kind.colour[c] = static_cast<uint8_t>(std::lround(light[c] + (dark[c] - light[c]) * share));
    kinds.push_back(kind);
  }
  return kinds;
}

size_t explain::shadeOf(double share) {
  constexpr double roundOff = 1e-9;
  if (share < roundOff || share > 1 - roundOff)
    return share < roundOff ? 0 : kShades - 1;
  return std::clamp<size_t>(std::lround(share * (kShades - 1)), 1, kShades - 2);
}

std::string explain::toSVG(const Picture &picture) {
  std::string text = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" shape-rendering=\"crispEdges\">\n<style>",
      picture.width, picture.height);
  for (const Kind &kind : picture.kinds)
    text += fmt::format(".{}{{fill:#{:02x}{:02x}{:02x}}}", kind.name, kind.colour[0], kind.colour[1], kind.colour[2]);
  text += "</style>\n";
  for (const Picture::Rectangle &one : picture.rectangles)
    text += fmt::format("<rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>\n",
                        picture.kinds[one.kind].name, one.x, one.y, one.width, one.height);
  return text + "</svg>\n";
}

namespace {

/// Pixels as indices of a palette, 0 for the ground.
struct Pixels {
  int64_t scale, width, height;
  std::vector<uint8_t> indices;

  explicit Pixels(const Picture &picture)
      : scale(std::max<int64_t>(1, kPixels / std::max(picture.width, picture.height))), width(picture.width * scale),
        height(picture.height * scale), indices(width * height) {
    for (const Picture::Rectangle &one : picture.rectangles)
      for (int64_t y = one.y * scale; y < (one.y + one.height) * scale; ++y)
        std::fill_n(indices.begin() + y * width + one.x * scale, one.width * scale,
                    static_cast<uint8_t>(one.kind + 1));
  }
};

} // namespace

rt::Result<std::string> explain::toPNG(const Picture &picture) {
  constexpr uint8_t white = 255;
  Pixels pixels(picture);
  std::vector<uint8_t> palette(3, white);
  for (const Kind &kind : picture.kinds)
    palette.insert(palette.end(), kind.colour.begin(), kind.colour.end());
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<uint32_t>(pixels.width), image.height = static_cast<uint32_t>(pixels.height);
  image.format = PNG_FORMAT_RGB_COLORMAP;
  image.colormap_entries = static_cast<uint32_t>(picture.kinds.size() + 1);
  png_alloc_size_t size = 0;
  auto write = [&](void *memory) {
    return png_image_write_to_memory(&image, memory, &size, /*convert_to_8bit=*/0, pixels.indices.data(),
                                     /*row_stride=*/0, palette.data());
  };
  if (!write(nullptr))
    return rt::Status::error(fmt::format("picture: expected a PNG of {} x {} pixels, but got: {}", pixels.width,
                                         pixels.height, image.message));
  std::string bytes(size, '\0');
  if (!write(bytes.data()))
    return rt::Status::error(fmt::format("picture: expected a PNG of {} x {} pixels, but got: {}", pixels.width,
                                         pixels.height, image.message));
  bytes.resize(size);
  return bytes;
}
