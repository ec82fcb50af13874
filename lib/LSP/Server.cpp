// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Handlers of the language server's messages.

#include "lib/LSP/Server.h"

#include "lib/LSP/Document.h"

#include "llvm/ADT/StringMap.h"
#include "llvm/Support/LSP/Protocol.h"
#include "llvm/Support/LSP/Transport.h"
#include "llvm/Support/Program.h"

using namespace llvm::lsp;

namespace weft::lsp {
namespace {

/// An open file; positions of the protocol count lines and characters from 0.
struct OpenFile {
  OpenFile(const URIForFile &uri, std::string text, int64_t version)
      : uri(uri), document(uri.file().str(), std::move(text)),
        version(version) {}

  Range range(SourceRange range) const {
    return {position(range.begin), position(range.end)};
  }
  uint32_t offset(const Position &position) const {
    return document.source().offset(
        {static_cast<uint32_t>(position.line) + 1,
         static_cast<uint32_t>(position.character) + 1});
  }

  URIForFile uri;
  Document document;
  int64_t version;

private:
  Position position(uint32_t offset) const {
    LineColumn place = document.source().position(offset);
    return {static_cast<int>(place.line) - 1,
            static_cast<int>(place.column) - 1};
  }
};

class Server {
public:
  explicit Server(JSONTransport &transport);
  bool isShutDown() const { return shutDown; }
  MessageHandler handler;

private:
  void onInitialize(const InitializeParams &params,
                    Callback<llvm::json::Value> reply);
  void onInitialized(const InitializedParams &params) {}
  void onShutdown(const NoParams &params, Callback<std::nullptr_t> reply);
  void onOpen(const DidOpenTextDocumentParams &params);
  void onChange(const DidChangeTextDocumentParams &params);
  void onClose(const DidCloseTextDocumentParams &params);
  void onHover(const TextDocumentPositionParams &params,
               Callback<std::optional<Hover>> reply);
  void onDefinition(const TextDocumentPositionParams &params,
                    Callback<std::vector<Location>> reply);
  void onCompletion(const CompletionParams &params,
                    Callback<CompletionList> reply);
  void onSymbols(const DocumentSymbolParams &params,
                 Callback<std::vector<DocumentSymbol>> reply);

  void update(const URIForFile &uri, std::string text, int64_t version);
  const OpenFile *find(const TextDocumentIdentifier &id) const;

  llvm::StringMap<std::unique_ptr<OpenFile>> files;
  OutgoingNotification<PublishDiagnosticsParams> publish;
  bool shutDown = false;
};

Server::Server(JSONTransport &transport) : handler(transport) {
  handler.method("initialize", this, &Server::onInitialize);
  handler.notification("initialized", this, &Server::onInitialized);
  handler.method("shutdown", this, &Server::onShutdown);
  handler.notification("textDocument/didOpen", this, &Server::onOpen);
  handler.notification("textDocument/didChange", this, &Server::onChange);
  handler.notification("textDocument/didClose", this, &Server::onClose);
  handler.method("textDocument/hover", this, &Server::onHover);
  handler.method("textDocument/definition", this, &Server::onDefinition);
  handler.method("textDocument/completion", this, &Server::onCompletion);
  handler.method("textDocument/documentSymbol", this, &Server::onSymbols);
  publish = handler.outgoingNotification<PublishDiagnosticsParams>(
      "textDocument/publishDiagnostics");
}

void Server::onInitialize(const InitializeParams &,
                          Callback<llvm::json::Value> reply) {
  using llvm::json::Object;
  Object capabilities{
      {"textDocumentSync", Object{{"openClose", true},
                                  {"change", (int)TextDocumentSyncKind::Full}}},
      {"hoverProvider", true},
      {"definitionProvider", true},
      {"documentSymbolProvider", true},
      {"completionProvider",
       Object{{"resolveProvider", false}, {"triggerCharacters", {"."}}}},
  };
  reply(Object{{"serverInfo", Object{{"name", "weft-lsp-server"}}},
               {"capabilities", std::move(capabilities)}});
}

void Server::onShutdown(const NoParams &, Callback<std::nullptr_t> reply) {
  shutDown = true;
  reply(nullptr);
}

//===-- Files and their diagnostics ---------------------------------------===//

const OpenFile *Server::find(const TextDocumentIdentifier &id) const {
  auto found = files.find(id.uri.file());
  return found == files.end() ? nullptr : found->second.get();
}

llvm::lsp::Diagnostic convert(const OpenFile &file,
                              const weft::Diagnostic &diagnostic) {
  llvm::lsp::Diagnostic result;
  result.range = file.range(diagnostic.range.value_or(SourceRange{}));
  result.severity = diagnostic.severity == Severity::Error
                        ? DiagnosticSeverity::Error
                        : DiagnosticSeverity::Warning;
  result.source = "weft";
  result.message = diagnostic.message;
  for (const Note &note : diagnostic.notes) {
    if (!result.relatedInformation)
      result.relatedInformation.emplace();
    result.relatedInformation->emplace_back(
        Location(file.uri, file.range(note.range)), note.message);
  }
  return result;
}

void Server::update(const URIForFile &uri, std::string text, int64_t version) {
  std::unique_ptr<OpenFile> &file = files[uri.file()];
  file = std::make_unique<OpenFile>(uri, std::move(text), version);
  PublishDiagnosticsParams params(uri, version);
  for (const weft::Diagnostic &diagnostic : file->document.diagnostics().all())
    params.diagnostics.push_back(convert(*file, diagnostic));
  publish(params);
}

/// Files of the other server, `weft-lsp-server --mlir`, get no answers here
/// rather than wrong ones.
bool isForeign(const TextDocumentItem &document) {
  return document.languageId == "mlir" ||
         document.uri.file().ends_with(".mlir");
}

void Server::onOpen(const DidOpenTextDocumentParams &params) {
  if (isForeign(params.textDocument))
    return Logger::info("{0}: expected a .weft file; --mlir serves .mlir files",
                        params.textDocument.uri.file());
  update(params.textDocument.uri, params.textDocument.text,
         params.textDocument.version);
}

void Server::onChange(const DidChangeTextDocumentParams &params) {
  const OpenFile *file = find({params.textDocument.uri});
  if (!file)
    return;
  std::string text(file->document.source().text());
  if (succeeded(
          TextDocumentContentChangeEvent::applyTo(params.contentChanges, text)))
    update(params.textDocument.uri, std::move(text),
           params.textDocument.version);
}

void Server::onClose(const DidCloseTextDocumentParams &params) {
  files.erase(params.textDocument.uri.file());
  publish(PublishDiagnosticsParams(params.textDocument.uri, 0));
}

//===-- Requests ----------------------------------------------------------===//

void Server::onHover(const TextDocumentPositionParams &params,
                     Callback<std::optional<Hover>> reply) {
  const OpenFile *file = find(params.textDocument);
  std::optional<HoverText> text;
  if (file)
    text = file->document.hover(file->offset(params.position));
  if (!text)
    return reply(std::nullopt);
  Hover hover(file->range(text->range));
  hover.contents.value = std::move(text->markdown);
  reply(std::move(hover));
}

void Server::onDefinition(const TextDocumentPositionParams &params,
                          Callback<std::vector<Location>> reply) {
  std::vector<Location> locations;
  if (const OpenFile *file = find(params.textDocument))
    if (std::optional<SourceRange> range =
            file->document.definition(file->offset(params.position)))
      locations.emplace_back(file->uri, file->range(*range));
  reply(std::move(locations));
}

CompletionItemKind completionKind(weft::lsp::SymbolKind kind) {
  switch (kind) {
  case weft::lsp::SymbolKind::Pattern:
  case weft::lsp::SymbolKind::Let:
    return CompletionItemKind::Function;
  case weft::lsp::SymbolKind::Attention:
    return CompletionItemKind::Class;
  case weft::lsp::SymbolKind::Parameter:
    return CompletionItemKind::Variable;
  case weft::lsp::SymbolKind::Keyword:
    return CompletionItemKind::Keyword;
  case weft::lsp::SymbolKind::Coordinate:
    return CompletionItemKind::Field;
  }
  return CompletionItemKind::Missing;
}

void Server::onCompletion(const CompletionParams &params,
                          Callback<CompletionList> reply) {
  CompletionList list;
  if (const OpenFile *file = find(params.textDocument)) {
    for (Proposal &proposal :
         file->document.complete(file->offset(params.position))) {
      CompletionItem &item = list.items.emplace_back(
          proposal.label, completionKind(proposal.kind));
      item.detail = std::move(proposal.detail);
    }
  }
  reply(std::move(list));
}

llvm::lsp::SymbolKind outlineKind(weft::lsp::SymbolKind kind) {
  switch (kind) {
  case weft::lsp::SymbolKind::Attention:
    return llvm::lsp::SymbolKind::Class;
  case weft::lsp::SymbolKind::Parameter:
    return llvm::lsp::SymbolKind::Variable;
  default:
    return llvm::lsp::SymbolKind::Function;
  }
}

DocumentSymbol convert(const OpenFile &file, const OutlineItem &item) {
  DocumentSymbol symbol(item.name, outlineKind(item.kind),
                        file.range(item.range), file.range(item.nameRange));
  symbol.detail = item.detail;
  for (const OutlineItem &child : item.children)
    symbol.children.push_back(convert(file, child));
  return symbol;
}

void Server::onSymbols(const DocumentSymbolParams &params,
                       Callback<std::vector<DocumentSymbol>> reply) {
  std::vector<DocumentSymbol> symbols;
  if (const OpenFile *file = find(params.textDocument))
    for (const OutlineItem &item : file->document.outline())
      symbols.push_back(convert(*file, item));
  reply(std::move(symbols));
}

} // namespace

llvm::LogicalResult runServer(JSONTransport &transport) {
  Server server(transport);
  if (llvm::Error error = transport.run(server.handler)) {
    Logger::error("transport failed: {0}", error);
    llvm::consumeError(std::move(error));
    return llvm::failure();
  }
  return llvm::success(server.isShutDown());
}

llvm::LogicalResult serverMain(int argc, char **argv) {
  bool readable = false;
  for (int i = 1; i < argc; ++i) {
    if (llvm::StringRef(argv[i]) != "--lit-test") {
      llvm::errs() << "weft-lsp-server: error: unknown option '" << argv[i]
                   << "': expected '--lit-test', '--mlir', '--help' or '--version'\n";
      return llvm::failure();
    }
    readable = true;
  }
  llvm::sys::ChangeStdinToBinary();
  JSONTransport transport(stdin, llvm::outs(),
                          readable ? JSONStreamStyle::Delimited
                                   : JSONStreamStyle::Standard,
                          readable);
  return runServer(transport);
}

} // namespace weft::lsp
