// SPDX-License-Identifier: LGPL-2.1-or-later
// What is used of cairo, in pixels, on white.
#pragma once

#include <cairo.h>

#include <memory>
#include <span>
#include <string>
#include <utility>

#include "base/result.h"
#include "map/ramp.h"

namespace blksnap::tool {

enum class Align { kLeft, kRight };

struct Lettering {
  int size = 13;  // pixels
  Colour colour = {0x1d, 0x21, 0x29};
  bool bold = false;
  Align align = Align::kLeft;
};

struct Box {
  int x, y, width, height;
};

struct Point {
  double x, y;
};

class Canvas {
 public:
  static Canvas png(int width, int height);
  static Canvas svg(int width, int height);

  void fill(Box box, Colour colour);
  void line(std::initializer_list<Point> points, Colour colour);
  // Returns its width. What is wider than `most` ends in "…"; 0: no limit.
  int text(int x, int baseline, std::string text, Lettering lettering,
           int most = 0);

  // The content of the file; nothing can be drawn after it. ENOMEM and the
  // like, of anything that was drawn.
  Result<std::string> finish();

 private:
  struct Free {
    void operator()(cairo_surface_t* it) const { cairo_surface_destroy(it); }
    void operator()(cairo_t* it) const { cairo_destroy(it); }
  };
  Canvas(cairo_surface_t* surface, std::unique_ptr<std::string> content);
  double width_of(const std::string& text) const;

  // Where cairo writes to; does not move when the canvas does.
  std::unique_ptr<std::string> content_;
  std::unique_ptr<cairo_surface_t, Free> surface_;
  std::unique_ptr<cairo_t, Free> cairo_;
};

}  // namespace blksnap::tool
