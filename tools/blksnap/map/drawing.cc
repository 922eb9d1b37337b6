// SPDX-License-Identifier: LGPL-2.1-or-later
#include "map/drawing.h"

#include <algorithm>
#include <cerrno>
#include <memory>

#include "base/format.h"
#include "heat/grid.h"
#include "map/canvas.h"
#include "map/ramp.h"
#include "map/tables.h"
#include "output.h"

namespace blksnap::tool {
namespace {

constexpr Colour kInk = {0x1d, 0x21, 0x29};
constexpr Colour kFaint = {0x5c, 0x65, 0x73};
constexpr Colour kLine = {0xc9, 0xce, 0xd6};

constexpr heat::GridLimits kLimits = {16, 128, 64};
constexpr int kLeft = 72;     // offsets
constexpr int kGridTop = 84;  // title, offsets within a row
constexpr int kGridWidth = 1152;
constexpr int kRight = 132;  // names of partitions
constexpr int kWidth = kLeft + kGridWidth + kRight;
constexpr int kLineHeight = 20;
constexpr int kTextSize = 13;

struct Place {
  double x = 0, y = 0;
};

class Picture {
 public:
  explicit Picture(const Scene& scene)
      : scene_(scene),
        grid_(heat::lay_out(scene.map.capacity(), scene.map.block_size(),
                            kLimits)),
        // Whole pixels, so that no edge is blurred.
        pitch_(std::min(kGridWidth / static_cast<int>(grid_.columns), 24)),
        last_number_(scene.last_number()),
        takes_(take_rows(scene)),
        regions_(region_rows(scene)) {}

  int height() const {
    const std::size_t lines =
        std::max(takes_.size(), regions_.size()) + 2 +
        (scene_.files.empty() ? 0 : scene_.files.size() + 2);
    return grid_bottom() + 72 + static_cast<int>(lines) * kLineHeight;
  }

  void draw(Canvas& canvas) const {
    canvas.text(24, 30, title_of(scene_), {.size = 18, .bold = true});
    canvas.text(24, 52, summary_of(scene_), {.colour = kFaint});
    draw_cells(canvas);
    draw_margins(canvas);
    draw_regions(canvas);
    draw_legend(canvas);
    draw_takes(canvas);
    draw_region_table(canvas);
    draw_files(canvas);
  }

 private:
  int grid_bottom() const {
    return kGridTop + static_cast<int>(grid_.rows) * pitch_;
  }
  int grid_right() const {
    return kLeft + static_cast<int>(grid_.columns) * pitch_;
  }
  // One pixel is the gap between cells.
  int bar_height() const { return pitch_ - 1; }
  Colour colour(std::uint8_t number) const {
    return heat_colour(number, scene_.first_number(), last_number_,
                       Theme::kLight);
  }

  void draw_cells(Canvas& canvas) const {
    const heat::Heat heat = scene_.heat();
    for (std::uint32_t row = 0; row < grid_.rows; ++row)
      for (std::uint32_t column = 0; column < grid_.columns; ++column) {
        const ByteRange range = grid_.cell(row, column);
        if (range.empty()) return;
        const int x = kLeft + static_cast<int>(column) * pitch_;
        int foot = kGridTop + static_cast<int>(row + 1) * pitch_ - 1;
        canvas.fill({x, foot - bar_height(), bar_height(), bar_height()},
                    unchanged_colour(Theme::kLight));
        for (const heat::Part& part :
             heat::stack(heat.tally(range), range.length,
                         static_cast<std::uint32_t>(bar_height()))) {
          const int steps = static_cast<int>(part.steps);
          canvas.fill({x, foot - steps, bar_height(), steps},
                      colour(part.number));
          foot -= steps;
        }
      }
  }

  void draw_margins(Canvas& canvas) const {
    const std::uint32_t every =
        std::max(1u, static_cast<std::uint32_t>(18 / pitch_));
    for (std::uint32_t row = 0; row < grid_.rows; row += every)
      canvas.text(kLeft - 8, kGridTop + static_cast<int>(row) * pitch_ + 10,
                  offset_text(row * grid_.row_bytes()),
                  {.size = 11, .colour = kFaint, .align = Align::kRight});
    for (std::uint32_t eighth = 0; eighth < 8; eighth += 2) {
      const std::uint32_t column = grid_.columns / 8 * eighth;
      const int x = kLeft + static_cast<int>(column) * pitch_;
      canvas.fill({x, kGridTop - 6, 1, 4}, kFaint);
      canvas.text(x, kGridTop - 10,
                  "+" + offset_text(column * grid_.cell_bytes),
                  {.size = 11, .colour = kFaint});
    }
  }

  // Where the cell of an offset begins.
  Place place_of(std::uint64_t offset) const {
    const std::uint64_t cell = offset / grid_.cell_bytes;
    return {kLeft + static_cast<double>(cell % grid_.columns) * pitch_,
            kGridTop + static_cast<double>(cell / grid_.columns) * pitch_};
  }

  // A step through the grid where a partition begins; its name in the margin.
  void draw_regions(Canvas& canvas) const {
    if (!scene_.partitioned) return;
    int free_from = 0;
    for (const Region& region : scene_.regions) {
      const Place at = place_of(region.range.offset);
      const double x = at.x - 0.5, y = at.y - 0.5;
      canvas.line({{kLeft - 4.0, y + pitch_},
                   {x, y + pitch_},
                   {x, y},
                   {grid_right() + 4.0, y}},
                  kInk);
      const int baseline = std::max(static_cast<int>(y) + 11, free_from);
      std::string name = region.name;
      if (!region.type.empty()) name += " " + region.type;
      canvas.text(grid_right() + 8, baseline, name, {.size = 11},
                  kWidth - grid_right() - 16);
      free_from = baseline + 13;
    }
  }

  void draw_legend(Canvas& canvas) const {
    const int y = grid_bottom() + 14;
    int x = kLeft;
    x = swatch(canvas, x, y, unchanged_colour(Theme::kLight), "unchanged");
    if (scene_.last_number() >= scene_.first_number()) {
      auto bands = heat::bands(scene_.first_number(), scene_.last_number(), 12);
      std::reverse(bands.begin(), bands.end());
      for (const heat::Band& band : bands)
        x = swatch(canvas, x, y, colour(band.last),
                   (&band == &bands.front() ? "take " : "") + name_of(band));
    }
    canvas.text(
        kLeft, y + 32,
        formatted("A cell is {}, a row {}. The higher its bar, the "
                  "more of it changed; the colour says before which "
                  "take.",
                  size_text(grid_.cell_bytes), size_text(grid_.row_bytes())),
        {.colour = kFaint});
  }

  int swatch(Canvas& canvas, int x, int y, Colour colour,
             const std::string& text) const {
    canvas.fill({x, y, 12, 12}, colour);
    return x + 18 + canvas.text(x + 18, y + 11, text, {}) + 16;
  }

  int tables_top() const { return grid_bottom() + 80; }

  void draw_takes(Canvas& canvas) const {
    if (takes_.empty()) return;
    std::uint64_t most = 1;
    for (const TakeRow& row : takes_) most = std::max(most, row.bytes);
    int y = tables_top();
    head(canvas,
         {{kLeft + 44, "Take"},
          {kLeft + 120, "Changed"},
          {kLeft + 190, "Device"}},
         kLeft, y, 440);
    for (const TakeRow& row : takes_) {
      y += kLineHeight;
      cell(canvas, kLeft + 44, y, name_of(row.band));
      cell(canvas, kLeft + 120, y, size_text(row.bytes));
      cell(canvas, kLeft + 190, y, formatted("{:.1f} %", row.percent));
      const int length = static_cast<int>(
          230.0 * static_cast<double>(row.bytes) / static_cast<double>(most));
      canvas.fill(
          {kLeft + 206, y - 10, std::max(length, row.bytes ? 1 : 0), 11},
          colour(row.band.last));
    }
  }

  void draw_region_table(Canvas& canvas) const {
    if (regions_.empty()) return;
    const int left = kLeft + 520;
    int y = tables_top();
    canvas.text(left + 64, y, "Type", {.bold = true});
    head(canvas,
         {{left + 52, "Part"},
          {left + 240, "Start"},
          {left + 320, "Size"},
          {left + 410, "Changed"},
          {left + 480, "Of it"},
          {left + 600, "Of changes"}},
         left, y, 704);
    for (const RegionRow& row : regions_) {
      y += kLineHeight;
      cell(canvas, left + 52, y, row.name);
      canvas.text(left + 64, y,
                  row.type + (row.label.empty() ? "" : " " + row.label), {},
                  130);
      if (!row.outside) cell(canvas, left + 240, y, offset_text(row.start));
      cell(canvas, left + 320, y, size_text(row.size));
      cell(canvas, left + 410, y, size_text(row.changed));
      cell(canvas, left + 480, y, formatted("{:.1f} %", row.of_it));
      cell(canvas, left + 600, y, formatted("{:.1f} %", row.of_changes));
    }
  }

  void draw_files(Canvas& canvas) const {
    if (scene_.files.empty()) return;
    const std::size_t above = std::max(takes_.size(), regions_.size()) + 2;
    int y = tables_top() + static_cast<int>(above) * kLineHeight;
    canvas.text(kLeft + 220, y, "File", {.bold = true});
    head(
        canvas,
        {{kLeft + 60, "Changed"}, {kLeft + 120, "Take"}, {kLeft + 190, "Part"}},
        kLeft, y, kGridWidth);
    for (const HotFile& file : scene_.files) {
      y += kLineHeight;
      cell(canvas, kLeft + 60, y, size_text(file.changed));
      cell(canvas, kLeft + 120, y, std::to_string(file.newest));
      cell(canvas, kLeft + 190, y, file.region);
      canvas.text(kLeft + 220, y, file.path, {}, kGridWidth - 220);
    }
  }

  struct Heading {
    int right;
    const char* text;
  };
  void head(Canvas& canvas, std::initializer_list<Heading> headings, int left,
            int y, int width) const {
    for (const Heading& heading : headings)
      canvas.text(heading.right, y, heading.text,
                  {.bold = true, .align = Align::kRight});
    canvas.fill({left, y + 5, width, 1}, kLine);
  }
  void cell(Canvas& canvas, int right, int y, const std::string& text) const {
    canvas.text(right, y + 2, text, {.align = Align::kRight});
  }

  const Scene& scene_;
  heat::Grid grid_;
  int pitch_;                 // from cell to cell, pixels
  std::uint8_t last_number_;  // a walk through the whole map: once
  std::vector<TakeRow> takes_;
  std::vector<RegionRow> regions_;
};

}  // namespace

Result<std::string> png_of(const Scene& scene) {
  const Picture picture(scene);
  Canvas canvas = Canvas::png(kWidth, picture.height());
  picture.draw(canvas);
  return canvas.finish();
}

Result<std::string> svg_of(const Scene& scene) {
  const Picture picture(scene);
  Canvas canvas = Canvas::svg(kWidth, picture.height());
  picture.draw(canvas);
  return canvas.finish();
}

}  // namespace blksnap::tool
