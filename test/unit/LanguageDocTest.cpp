// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tests of docs/language.md and examples/: every program in them is correct,
// and every production has an example. WEFT_SOURCE_DIR is the root of the
// sources.

#include "lib/Frontend/Frontend.h"
#include "lib/Frontend/StaticValues.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <set>

using namespace weft;

namespace {

struct Page {
  std::vector<std::string> programs;
  std::set<std::string> productions;
  std::set<std::string> captions;
};

/// The text of the fenced block that `stream` stands in.
std::string fencedBlock(std::istream &stream) {
  std::string block, line;
  while (std::getline(stream, line) && line != "```")
    block += line + "\n";
  return block;
}

std::set<std::string> matches(const std::string &text, const char *pattern) {
  std::set<std::string> names;
  std::regex regex(pattern, std::regex::ECMAScript | std::regex::multiline);
  for (std::sregex_iterator it(text.begin(), text.end(), regex), end; it != end;
       ++it)
    names.insert((*it)[1]);
  return names;
}

Page readPage() {
  std::ifstream file(WEFT_SOURCE_DIR "/docs/language.md");
  EXPECT_TRUE(file);
  Page page;
  std::string line;
  while (std::getline(file, line)) {
    if (line == "```weft")
      page.programs.push_back(fencedBlock(file));
    else if (line == "```ebnf")
      page.productions = matches(fencedBlock(file), "^([a-z]+) +=");
    else if (line.starts_with("Example of"))
      page.captions.merge(
          matches(line.substr(0, line.find_first_of(":.")), "`([a-z]+)`"));
  }
  return page;
}

/// What checking a program, and instantiating all its attentions, reports.
std::string problems(const SourceFile &source) {
  Diagnostics diagnostics(source);
  std::unique_ptr<Program> program = parseProgram(source, diagnostics);
  if (!program)
    return diagnostics.render();
  for (auto &attention : program->attentions) {
    StaticRequest request;
    request.attention = attention->name.text;
    request.queryGrid = request.keyGrid = {13, 30, 45, 226, false};
    StaticValues::evaluate(*program, request, diagnostics);
  }
  return diagnostics.render();
}

TEST(LanguageDoc, ProgramsAreCorrect) {
  Page page = readPage();
  EXPECT_GE(page.programs.size(), 10u);
  for (const std::string &program : page.programs)
    EXPECT_EQ(problems(SourceFile("language.md", program)), "") << program;
}

TEST(LanguageDoc, EveryProductionHasAnExample) {
  Page page = readPage();
  EXPECT_GE(page.productions.size(), 20u);
  EXPECT_EQ(page.captions, page.productions);
}

TEST(LanguageDoc, ExamplesAreCorrect) {
  size_t count = 0;
  std::vector<std::filesystem::directory_entry> entries;
  for (const char *folder :
       {WEFT_SOURCE_DIR "/examples", WEFT_SOURCE_DIR "/lib/Methods"})
    for (const auto &entry : std::filesystem::directory_iterator(folder))
      entries.push_back(entry);
  for (const auto &entry : entries) {
    if (entry.path().extension() != ".weft")
      continue;
    std::string error;
    std::optional<SourceFile> source =
        SourceFile::read(entry.path().string(), error);
    ASSERT_TRUE(source) << error;
    EXPECT_EQ(problems(*source), "");
    ++count;
  }
  EXPECT_GE(count, 9u);
}

} // namespace
