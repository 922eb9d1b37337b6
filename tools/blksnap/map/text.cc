// SPDX-License-Identifier: LGPL-2.1-or-later
#include "map/text.h"

#include <langinfo.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <clocale>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "base/format.h"
#include "base/printable.h"
#include "base/uuid.h"
#include "heat/grid.h"
#include "map/ramp.h"
#include "map/tables.h"
#include "output.h"

namespace blksnap::tool {
namespace {

using Colours = TextStyle::Colours;

constexpr std::uint32_t kSteps = 8;  // heights of a character
constexpr std::uint32_t kMarginWidth = 9;
constexpr std::uint32_t kMaxRows = 24;

std::string_view variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

std::uint32_t width_of_stdout() {
  std::uint32_t columns = 0;
  const std::string_view told = variable("COLUMNS");
  std::from_chars(told.data(), told.data() + told.size(), columns);
  winsize size{};
  if (columns == 0 && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
    columns = size.ws_col;
  return columns == 0 ? 80 : std::clamp(columns, 20u, 1000u);
}

// The 6 x 6 x 6 cube that terminals of 256 colours have.
int in_cube(Colour colour) {
  const auto step = [](std::uint8_t value) {
    return value < 48 ? 0 : value < 115 ? 1 : (value - 35) / 40;
  };
  return 16 + 36 * step(colour.red) + 6 * step(colour.green) +
         step(colour.blue);
}

class Painter {
 public:
  Painter(const Scene& scene, const TextStyle& style)
      : style_(style),
        first_(scene.first_number()),
        last_(scene.last_number()) {}

  // `text` in the colour of a number; 0 is that of the terminal, dimmed.
  std::string paint(std::uint8_t number, std::string text) const {
    if (style_.colours == Colours::kNone) return text;
    if (number == 0) return "\033[2m" + text + "\033[m";
    // Most terminals are dark; the ramp of that theme is seen on both.
    const Colour c = heat_colour(number, first_, last_, Theme::kDark);
    return style_.colours == Colours::kTrue
               ? formatted("\033[38;2;{};{};{}m{}\033[m", c.red, c.green,
                           c.blue, text)
               : formatted("\033[38;5;{}m{}\033[m", in_cube(c), text);
  }

  std::string glyph(std::uint32_t steps) const {
    static constexpr const char* kUtf8[] = {"·", "▁", "▂", "▃", "▄",
                                            "▅", "▆", "▇", "█"};
    static constexpr const char* kAscii[] = {".", ":", "-", "=", "+",
                                             "*", "x", "%", "#"};
    return style_.utf8 ? kUtf8[steps] : kAscii[steps];
  }

 private:
  const TextStyle& style_;
  std::uint8_t first_, last_;
};

std::string band_of(const Scene& scene, const heat::Grid& grid,
                    const Painter& painter) {
  std::string text;
  const heat::Heat heat = scene.heat();
  for (std::uint32_t row = 0; row < grid.rows; ++row) {
    text += formatted("{:>{}} ", offset_text(row * grid.row_bytes()),
                      kMarginWidth - 1);
    std::string run;  // of one colour, so that a row has few escapes
    std::uint8_t run_number = 0;
    for (std::uint32_t column = 0; column < grid.columns; ++column) {
      const ByteRange range = grid.cell(row, column);
      if (range.empty()) break;
      const heat::Tally tally = heat.tally(range);
      std::uint32_t steps = 0;
      for (const heat::Part& part : heat::stack(tally, range.length, kSteps))
        steps += part.steps;
      if (tally.newest() != run_number && !run.empty())
        text += painter.paint(run_number, std::exchange(run, ""));
      run_number = tally.newest();
      run += painter.glyph(steps);
    }
    text += painter.paint(run_number, run) + "\n";
  }
  return text;
}

std::string legend_of(const Scene& scene, const heat::Grid& grid,
                      const Painter& painter, const TextStyle& style) {
  std::string glyphs;
  for (std::uint32_t steps = 1; steps <= kSteps; ++steps)
    glyphs += painter.glyph(steps);
  std::string text = formatted(
      "{:>{}} a character is {}, a row {}; {} unchanged, {} how "
      "much changed\n",
      "", kMarginWidth - 1, size_text(grid.cell_bytes),
      size_text(grid.row_bytes()), painter.glyph(0), glyphs);
  if (style.colours == Colours::kNone ||
      scene.last_number() < scene.first_number())
    return text;
  text += formatted("{:>{}} take ", "", kMarginWidth - 1);
  auto shown = heat::bands(scene.first_number(), scene.last_number(), 8);
  std::reverse(shown.begin(), shown.end());
  for (const heat::Band& band : shown)
    text += painter.paint(band.last, painter.glyph(kSteps)) + " " +
            name_of(band) + "  ";
  return text + "(newest change)\n";
}

std::string take_table(const Scene& scene, const Painter& painter) {
  const auto rows = take_rows(scene);
  if (rows.empty()) return "";
  std::uint64_t most = 1;
  for (const TakeRow& row : rows) most = std::max(most, row.bytes);
  std::string text =
      formatted("\n{:>9}  {:>8}  {:>9}\n", "TAKE", "CHANGED", "OF DEVICE");
  for (const TakeRow& row : rows) {
    std::string bar;
    const auto length = row.bytes == 0 ? 0 : 1 + row.bytes * 29 / most;
    for (std::uint64_t i = 0; i < length; ++i) bar += painter.glyph(kSteps);
    text += formatted("{:>9}  {:>8}  {:>7.1f} %", name_of(row.band),
                      size_text(row.bytes), row.percent);
    text +=
        bar.empty() ? "\n" : "  " + painter.paint(row.band.last, bar) + "\n";
  }
  return text;
}

std::string region_table(const Scene& scene) {
  const auto rows = region_rows(scene);
  if (rows.empty()) return "";
  std::size_t type = 4;
  for (const RegionRow& row : rows) type = std::max(type, row.type.size());
  std::string text = formatted(
      "\n{:>9}  {:{}}  {:>8}  {:>8}  {:>8}  {:>7}  "
      "{:>10}  {}\n",
      "PARTITION", "TYPE", type, "START", "SIZE", "CHANGED", "OF IT",
      "OF CHANGES", "LABEL");
  for (const RegionRow& row : rows) {
    std::string line = formatted(
        "{:>9}  {:{}}  {:>8}  {:>8}  {:>8}  {:>5.1f} %  {:>8.1f} %  {}",
        row.name, row.type, type, row.outside ? "" : offset_text(row.start),
        size_text(row.size), size_text(row.changed), row.of_it, row.of_changes,
        printable(row.label));
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string file_table(const Scene& scene) {
  if (scene.files.empty()) return "";
  std::string text = formatted("\n{:>9}  {:>4}  {:>9}  {}\n", "CHANGED", "TAKE",
                               "PARTITION", "FILE");
  for (const HotFile& file : scene.files)
    text += formatted("{:>9}  {:>4}  {:>9}  {}\n", size_text(file.changed),
                      file.newest, file.region, printable(file.path));
  return text;
}

}  // namespace

TextStyle TextStyle::of_stdout() {
  TextStyle style;
  style.width = width_of_stdout();
  std::setlocale(LC_CTYPE, "");
  style.utf8 = std::string_view(nl_langinfo(CODESET)) == "UTF-8";
  if (isatty(STDOUT_FILENO) == 1 && variable("NO_COLOR").empty() &&
      variable("TERM") != "dumb") {
    const std::string_view depth = variable("COLORTERM");
    style.colours = depth == "truecolor" || depth == "24bit" ? Colours::kTrue
                                                             : Colours::k256;
  }
  return style;
}

std::string text_of(const Scene& scene, const TextStyle& style) {
  const std::uint32_t columns =
      std::max(style.width, kMarginWidth + 9) - kMarginWidth;
  const heat::Grid grid =
      heat::lay_out(scene.map.capacity(), scene.map.block_size(),
                    {columns, columns, kMaxRows});
  const Painter painter(scene, style);
  std::string text = printable(title_of(scene)) + "\n" + summary_of(scene) +
                     "\ngeneration " + to_string(scene.map.taken().generation) +
                     "\n\n";
  text += band_of(scene, grid, painter);
  text += legend_of(scene, grid, painter, style);
  text += take_table(scene, painter);
  text += region_table(scene);
  text += file_table(scene);
  for (const std::string& note : scene.notes) text += "\nnote: " + note + "\n";
  return text;
}

}  // namespace blksnap::tool
