// SPDX-License-Identifier: LGPL-2.1-or-later
// Boost.Asio, compiled once: its headers declare these functions only, where
// BOOST_ASIO_SEPARATE_COMPILATION is defined.
#include <boost/asio/impl/src.hpp>
