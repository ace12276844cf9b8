// All of Evenrow.
#pragma once

#include "evenrow/activation.hpp"
#include "evenrow/batch_norm.hpp"
#include "evenrow/compare.hpp"
#include "evenrow/dataset.hpp"
#include "evenrow/error.hpp"
#include "evenrow/evaluate.hpp"
#include "evenrow/inference_pass.hpp"
#include "evenrow/input_normalization.hpp"
#include "evenrow/lr_find.hpp"
#include "evenrow/model.hpp"
#include "evenrow/network.hpp"
#include "evenrow/optimizer.hpp"
#include "evenrow/study.hpp"
#include "evenrow/train.hpp"
#include "evenrow/training_pass.hpp"
#include "evenrow/tune.hpp"
