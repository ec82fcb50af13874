// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// weft-search: finds a budget for each denoising step by evolution; a command tells how good a schedule is.

#include "lib/Schedule/ScheduleFile.h"
#include "lib/Search/Command.h"
#include "lib/Search/State.h"
#include "lib/TensorFile/FileIO.h"
#include "tools/ToolOptions.h"
#include "tools/Version.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

#include <fmt/format.h>

#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

using namespace llvm;
using namespace weft;
using Clock = std::chrono::steady_clock;

namespace {

cl::OptionCategory category("weft-search options");
const search::Options defaults;

cl::opt<std::string> fitness("fitness",
                             cl::desc("command that prints how good a schedule is, smaller being better; {schedule} "
                                      "becomes the name of its file"),
                             cl::value_desc("COMMAND"), cl::cat(category));
cl::opt<std::string> output("output", cl::desc("JSON file for the best schedule"), cl::value_desc("FILE"),
                            cl::cat(category));
cl::opt<std::string> base("schedule", cl::desc("a schedule whose budgets are searched; without it, one without rules"),
                          cl::value_desc("FILE"), cl::cat(category));
cl::opt<std::string> stateFile("state", cl::desc("file that a search that was cut off goes on from; FILE.state of "
                                                 "--output if not given"),
                               cl::value_desc("FILE"), cl::cat(category));
NumberOption<int64_t> steps("steps", "denoising steps", defaults.steps, category);
NumberOption<double> target("target", "mean budget of a step, from 0 to 1", defaults.target, category);
NumberOption<double> tolerance("tolerance", "how far from it a schedule may be, as a share of it", defaults.tolerance,
                               category);
NumberOption<int64_t> population("population", "candidates that are kept", defaults.population, category);
NumberOption<int64_t> offspring("offspring", "new candidates in a generation", defaults.offspring, category);
NumberOption<int64_t> generations("generations", "generations after the first candidates", defaults.generations,
                                  category);
NumberOption<double> mutationFirst("mutation-first", "probability that a step's budget mutates, at the start",
                                   defaults.mutationFirst, category);
NumberOption<double> mutationLast("mutation-last", "the same in the last generation", defaults.mutationLast, category);
NumberOption<uint64_t> seed("seed", "seed of the random numbers", defaults.seed, category);
NumberOption<int64_t> workers("workers", "commands that run at once", 1, category);
NumberOption<double> timeout("timeout", "seconds that a command may take; 0: no limit", 0, category);
cl::opt<bool> keepGoing("keep-going", cl::desc("a failed command makes its schedule infinitely bad"),
                        cl::cat(category));

volatile std::sig_atomic_t interrupted = 0;
bool isInterrupted() { return interrupted; }
void interrupt(int) { interrupted = 1; }

search::Options searchOptions(const schedule::Schedule &start) {
  search::Options options;
  options.steps = start.steps;
  options.target = target, options.tolerance = tolerance;
  options.population = population, options.offspring = offspring, options.generations = generations;
  options.mutationFirst = mutationFirst, options.mutationLast = mutationLast, options.seed = seed;
  return options;
}

rt::Status checkOptions() {
  if (fitness.empty())
    return rt::Status::error("--fitness: expected a command, but got nothing");
  if (!StringRef(fitness).contains("{schedule}"))
    return rt::Status::error(
        fmt::format("--fitness: expected {{schedule}} in the command, but got '{}'", fitness.getValue()));
  if (output.empty())
    return rt::Status::error("--output: expected a file name, but got nothing");
  if (!base.empty() && steps.getNumOccurrences())
    return noEffect(steps, "with --schedule, which says it itself");
  if (workers < 1 || workers > 1024)
    return rt::Status::error(fmt::format("--workers: expected 1 to 1024, but got {}", workers.getValue()));
  if (!(timeout >= 0 && timeout <= 1e9))
    return rt::Status::error(fmt::format("--timeout: expected seconds from 0 to 1e9, but got {}", timeout.getValue()));
  return rt::Status::ok();
}

rt::Result<std::string> readText(const std::string &path) {
  auto buffer = MemoryBuffer::getFile(path);
  if (!buffer)
    return rt::Status::error(fmt::format("{}: cannot read: {}", path, buffer.getError().message()));
  return (*buffer)->getBuffer().str();
}

rt::Status prefixed(const std::string &prefix, const rt::Status &status) {
  return rt::Status::error(prefix + status.message());
}

rt::Result<schedule::Schedule> startSchedule() {
  if (base.empty()) {
    schedule::Schedule schedule;
    schedule.steps = steps;
    return schedule;
  }
  auto text = readText(base);
  if (!text)
    return text.status();
  auto parsed = schedule::parse(*text);
  return parsed ? parsed : rt::Result<schedule::Schedule>(prefixed(base + ": ", parsed.status()));
}

schedule::Schedule withBudgets(schedule::Schedule schedule, const search::Genes &genes) {
  schedule.budgets.clear();
  for (int gene : genes)
    schedule.budgets.push_back(static_cast<double>(gene) / search::kFull);
  return schedule;
}

/// A file of the temporary folder that goes when its owner does.
class TemporaryFile {
public:
  ~TemporaryFile() {
    if (!path.empty())
      sys::fs::remove(path);
  }
  rt::Status write(const std::string &text) {
    int descriptor;
    if (std::error_code error = sys::fs::createTemporaryFile("weft-search", "json", descriptor, path))
      return rt::Status::error("cannot make a temporary file: " + error.message());
    raw_fd_ostream stream(descriptor, /*shouldClose=*/true);
    stream << text;
    stream.flush();
    if (std::error_code error = stream.error()) {
      stream.clear_error();
      return rt::Status::error(fmt::format("{}: cannot write: {}", path.str().str(), error.message()));
    }
    return rt::Status::ok();
  }
  SmallString<128> path;
};

/// The name as one word of the shell.
std::string quoted(StringRef path) {
  bool plain = path.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-") ==
               StringRef::npos;
  if (plain)
    return path.str();
  std::string text = "'";
  for (char letter : path)
    text += letter == '\'' ? std::string("'\\''") : std::string(1, letter);
  return text + "'";
}

rt::Result<double> evaluate(const schedule::Schedule &start, const search::Genes &genes) {
  TemporaryFile file;
  if (rt::Status status = file.write(schedule::toJSON(withBudgets(start, genes))); !status)
    return status;
  std::string command = fitness, word = "{schedule}", name = quoted(file.path);
  for (size_t at = 0; (at = command.find(word, at)) != std::string::npos; at += name.size())
    command.replace(at, word.size(), name);
  return search::runCommand(command, timeout, isInterrupted);
}

/// One line on a terminal that says how far the search is.
class ProgressLine {
public:
  void show(const search::Progress &progress) {
    ++evaluations;
    if (!shown)
      return;
    double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    double left = seconds / evaluations * progress.left;
    double done = 1 - static_cast<double>(progress.left) / (progress.left + progress.evaluated);
    std::string bar(static_cast<size_t>(30 * done), '=');
    errs() << fmt::format("\r[{:<30}] generation {}/{}, {} evaluated, best {}, {:.0f} s left \033[K", bar,
                          progress.generation, generations.getValue(), progress.evaluated,
                          progress.best ? fmt::format("{:.6g}", *progress.best) : "none", left);
  }
  void end() {
    if (shown && evaluations)
      errs() << "\n";
  }

private:
  bool shown = isatty(2);
  int64_t evaluations = 0;
  Clock::time_point start = Clock::now();
};

rt::Result<search::Evaluations> readState(const std::string &path, const search::Configuration &configuration) {
  if (!sys::fs::exists(path))
    return search::Evaluations();
  auto text = readText(path);
  if (!text)
    return text.status();
  auto state = search::parseState(*text, configuration);
  return state ? state : rt::Result<search::Evaluations>(prefixed(path + ": ", state.status()));
}

/// Two searches on one state would lose each other's evaluations. The lock goes with the process.
rt::Status lock(const std::string &path) {
  int descriptor = open((path + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor >= 0 && flock(descriptor, LOCK_EX | LOCK_NB) == 0)
    return rt::Status::ok();
  return rt::Status::error(fmt::format("{}: expected no other search to use this state", path));
}

rt::Status runTool() {
  if (rt::Status status = checkOptions(); !status)
    return status;
  auto start = startSchedule();
  if (!start)
    return start.status();
  search::Options options = searchOptions(*start);
  if (rt::Status status = options.validate(); !status)
    return prefixed("--", status);
  if (rt::Status status = withBudgets(*start, search::Genes(start->steps, search::kFull)).validate(); !status)
    return status;
  std::string path = stateFile.empty() ? output + ".state" : stateFile.getValue();
  if (isSameFile(path, output) || (!base.empty() && (isSameFile(base, output) || isSameFile(base, path))))
    return rt::Status::error("--output, --schedule and --state: expected different files");
  for (const std::string &file : {output.getValue(), path})
    if (rt::Status status = checkWritable(file); !status)
      return status;
  if (rt::Status status = lock(path); !status)
    return status;
  schedule::Schedule rest = *start;
  rest.budgets.clear();
  search::Configuration configuration{options, fitness + "\n" + schedule::toJSON(rest)};
  auto known = readState(path, configuration);
  if (!known)
    return known.status();
  ProgressLine line;
  search::Settings settings;
  settings.workers = static_cast<int>(workers), settings.keepGoing = keepGoing, settings.known = std::move(*known);
  settings.stopped = isInterrupted;
  settings.evaluated = [&](const search::Evaluations &evaluations, const search::Progress &progress) {
    line.show(progress);
    return writeFile(path, search::stateToJSON(configuration, evaluations));
  };
  auto outcome = search::run(options, [&](const search::Genes &genes) { return evaluate(*start, genes); },
                             std::move(settings));
  line.end();
  if (!outcome)
    return outcome.status();
  if (rt::Status status = writeFile(output, schedule::toJSON(withBudgets(*start, outcome->genes))); !status)
    return status;
  outs() << fmt::format("fitness {} after {} evaluations\n", outcome->fitness, outcome->evaluations);
  return rt::Status::ok();
}

} // namespace

int main(int argc, char **argv) {
  InitLLVM init(argc, argv);
  setToolName("weft-search");
  std::signal(SIGINT, interrupt);
  std::signal(SIGTERM, interrupt);
  cl::HideUnrelatedOptions(category);
  cl::SetVersionPrinter(printVersion);
  cl::ParseCommandLineOptions(argc, argv, "Finds the budget of each denoising step of a schedule\n");
  rt::Status status = runTool();
  if (status)
    return 0;
  reportError("weft-search", status.message());
  if (!interrupted)
    return 1;
  errs() << "weft-search: note: the same command goes on from here\n";
  return 130;
}
