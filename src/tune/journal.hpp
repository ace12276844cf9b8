// Optuna's journal: a file of operations, a JSON object a line, and what they add up to.
//
// The format is that of JournalStorage with JournalFileBackend of Optuna 5; what is read here is
// read as optuna/storages/journal/_storage.py reads it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "evenrow/study.hpp"

namespace evenrow::tuning {

/// What evenrow writes into its studies beside kSearchKey. A system attribute of a trial: its place
/// in the search. A user attribute of a study: after how many trials the space is refined.
inline constexpr const char* kPlaceKey = "evenrow:trial";
inline constexpr const char* kFirstRoundKey = "evenrow:first_round";

struct JournalTrial {
  std::int64_t study = 0;
  std::int64_t number = 0;
  TrialState state = TrialState::running;
  std::vector<double> values{};
  /// Parameters in the order in which they came, each with its value (the index of a choice).
  std::vector<std::pair<Parameter, double>> parameters{};
  std::map<std::int64_t, double> intermediate{};
  std::map<std::string, std::string> user_attributes{}, system_attributes{};  ///< As JSON.
  std::optional<double> start{}, end{};  ///< Seconds since 1970.
};

struct JournalStudy {
  std::string name{};
  std::vector<Direction> directions{};
  bool deleted = false;
  std::map<std::string, std::string> user_attributes{};  ///< As JSON.
  std::vector<std::int64_t> trials{};                    ///< Indices of Journal::trials.
};

/// What the operations of a journal add up to. Studies and trials are found by index: their id.
class JournalContent {
 public:
  /// One line, without its end. Errors (data) begin with `where`.
  void apply(std::string_view line, const std::string& where);

  const std::vector<JournalStudy>& studies() const { return studies_; }
  const std::vector<JournalTrial>& trials() const { return trials_; }

  /// The index of the study; empty: none of this name.
  std::optional<std::size_t> find_study(const std::string& name) const;
  Study study(std::size_t index) const;

 private:
  std::vector<JournalStudy> studies_;
  std::vector<JournalTrial> trials_;
};

/// All whole lines of `bytes`, applied; how many bytes they are. `line`: the number of the lines
/// before them, counted on.
std::size_t apply_lines(std::string_view bytes, const std::string& path, std::int64_t& line,
                        JournalContent& content);

/// Text as JSON (bytes that are not UTF-8 are replaced), and back.
std::string json_text(const std::string& text);
std::string text_of_json(const std::string& json);

// Operations, each a line with its end. `worker`: who writes.

struct NewTrial {
  std::size_t study = 0;
  std::vector<std::pair<Parameter, double>> parameters{};
  std::map<std::string, std::string> system_attributes{};  ///< As JSON.
};
std::string create_study_line(const std::string& worker, const std::string& name,
                              Direction direction);
std::string study_attribute_line(const std::string& worker, std::size_t study,
                                 const std::string& key, const std::string& text);
std::string study_attribute_line(const std::string& worker, std::size_t study,
                                 const std::string& key, std::int64_t number);
std::string create_trial_line(const std::string& worker, const NewTrial& trial);
std::string intermediate_line(const std::string& worker, std::int64_t trial, std::int64_t step,
                              double value);
std::string trial_attribute_line(const std::string& worker, std::int64_t trial,
                                 const std::string& key, const std::string& text);
std::string state_line(const std::string& worker, std::int64_t trial, TrialState state,
                       std::optional<double> value);

/// A journal file that is written: by this process, and by others at the same time, each line by
/// Optuna's protocol of a symbolic link as lock.
class Journal {
 public:
  /// Opens it, or makes it. What follows the last whole line is removed: nobody can be writing it,
  /// and what would be appended to it would be lost. Errors: (io); (data) as JournalContent::apply.
  explicit Journal(std::filesystem::path path);

  const JournalContent& content() const { return content_; }
  bool recovered() const { return recovered_; }
  const std::string& worker() const { return worker_; }

  /// Appends the lines that `compose` makes of the content as it then is: nobody else writes in
  /// between. They are on the disk when it returns. Errors (io): the journal is as it was.
  void append(const std::function<std::string()>& compose);

 private:
  void read_on(int descriptor);

  std::filesystem::path path_;
  std::string worker_;
  JournalContent content_;
  std::int64_t bytes_ = 0, lines_ = 0;  // read so far
  bool partial_ = false, recovered_ = false;
};

}  // namespace evenrow::tuning
