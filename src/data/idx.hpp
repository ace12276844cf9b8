// IDX files: the format of MNIST and its relatives (http://yann.lecun.com/exdb/mnist/).
#pragma once

#include <filesystem>
#include <optional>

#include "data/byte_source.hpp"
#include "evenrow/dataset.hpp"

namespace evenrow::data {

/// An IDX file of rows, and one of their labels when `labels` is given. Two dimensions: rows and
/// columns; three: rows, image height, image width; more are taken as columns.
/// Errors (data): wrong magic number, truncated or overlong files, no rows, labels that are not one
/// a row, another number of columns than expected.
Dataset read_idx(ByteSource& images, ByteSource* labels, const ReadOptions& options = {});

/// Where the labels of "NAME-images-idx3-ubyte[.gz]" lie, first choice first: the same name with
/// "labels" and "idx1", gzipped or not. Empty when `images` is not named like that.
std::vector<std::filesystem::path> label_paths(const std::filesystem::path& images);

}  // namespace evenrow::data
