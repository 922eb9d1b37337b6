// SPDX-License-Identifier: LGPL-2.1-or-later
#include "map/canvas.h"

#include <cairo-svg.h>

#include <cerrno>

#include "base/printable.h"
#include "output.h"

namespace blksnap::tool {
namespace {

cairo_status_t append(void* content, const unsigned char* data,
                      unsigned length) {
  static_cast<std::string*>(content)->append(
      reinterpret_cast<const char*>(data), length);
  return CAIRO_STATUS_SUCCESS;
}

}  // namespace

Canvas::Canvas(cairo_surface_t* surface, std::unique_ptr<std::string> content)
    : content_(std::move(content)),
      surface_(surface),
      cairo_(cairo_create(surface)) {
  cairo_set_source_rgb(cairo_.get(), 1, 1, 1);
  cairo_paint(cairo_.get());
  cairo_set_antialias(cairo_.get(), CAIRO_ANTIALIAS_DEFAULT);
  cairo_set_line_width(cairo_.get(), 1);
}

Canvas Canvas::png(int width, int height) {
  return Canvas(cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height),
                nullptr);
}

Canvas Canvas::svg(int width, int height) {
  auto content = std::make_unique<std::string>();
  cairo_surface_t* surface =
      cairo_svg_surface_create_for_stream(append, content.get(), width, height);
  cairo_svg_surface_set_document_unit(surface, CAIRO_SVG_UNIT_PX);
  return Canvas(surface, std::move(content));
}

void Canvas::fill(Box box, Colour colour) {
  cairo_set_source_rgb(cairo_.get(), colour.red / 255.0, colour.green / 255.0,
                       colour.blue / 255.0);
  cairo_rectangle(cairo_.get(), box.x, box.y, box.width, box.height);
  cairo_fill(cairo_.get());
}

void Canvas::line(std::initializer_list<Point> points, Colour colour) {
  cairo_set_source_rgb(cairo_.get(), colour.red / 255.0, colour.green / 255.0,
                       colour.blue / 255.0);
  for (const Point& point : points)
    cairo_line_to(cairo_.get(), point.x, point.y);
  cairo_stroke(cairo_.get());
}

double Canvas::width_of(const std::string& text) const {
  cairo_text_extents_t extents;
  cairo_text_extents(cairo_.get(), text.c_str(), &extents);
  return extents.x_advance;
}

int Canvas::text(int x, int baseline, std::string text, Lettering lettering,
                 int most) {
  cairo_select_font_face(
      cairo_.get(), "sans-serif", CAIRO_FONT_SLANT_NORMAL,
      lettering.bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
  cairo_set_font_size(cairo_.get(), lettering.size);
  cairo_set_source_rgb(cairo_.get(), lettering.colour.red / 255.0,
                       lettering.colour.green / 255.0,
                       lettering.colour.blue / 255.0);
  text = printable(text);  // cairo gives up on what is not UTF-8
  std::string shown = text;
  while (most > 0 && width_of(shown) > most && !text.empty()) {
    do {
      shown = text;
      text.pop_back();
    } while (!text.empty() && (shown.back() & 0xc0) == 0x80);
    shown = text + "…";
  }
  const double width = width_of(shown);
  cairo_move_to(cairo_.get(), lettering.align == Align::kRight ? x - width : x,
                baseline);
  cairo_show_text(cairo_.get(), shown.c_str());
  return static_cast<int>(width);
}

Result<std::string> Canvas::finish() {
  cairo_status_t status = cairo_status(cairo_.get());
  std::string png;
  if (status == CAIRO_STATUS_SUCCESS && !content_)
    status = cairo_surface_write_to_png_stream(surface_.get(), append, &png);
  cairo_.reset();
  cairo_surface_finish(surface_.get());
  if (status == CAIRO_STATUS_SUCCESS)
    status = cairo_surface_status(surface_.get());
  if (status != CAIRO_STATUS_SUCCESS)
    return refuse(
        status == CAIRO_STATUS_NO_MEMORY ? ENOMEM : EIO,
        std::string("draw the map: ") + cairo_status_to_string(status));
  return content_ ? std::move(*content_) : std::move(png);
}

}  // namespace blksnap::tool
