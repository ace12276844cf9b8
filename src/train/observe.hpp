// What one training step saw of a network, as plain numbers.
#pragma once

#include <cstdint>
#include <span>

#include "evenrow/train.hpp"

namespace evenrow::training {

/// See Distribution.
Distribution distribution_of(std::span<const float> values);

/// Of the last run of `pass`, an observed one over the mini-batch `x`, before the network is
/// updated. Step, epoch and seconds are the caller's.
Observation observe(TrainingPass<float>& pass, const Network<float>& network,
                    std::span<const float> x, int threads);

}  // namespace evenrow::training
