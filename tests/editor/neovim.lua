-- Starts the server as a user's configuration does, and writes down what the editor shows. For Neovim 0.7 and newer.
local python, script, answer = os.getenv("PYTHON"), os.getenv("SCRIPT"), os.getenv("ANSWER")
local seen = {}

local function ask(method, params)
  local replies = vim.lsp.buf_request_sync(0, method, params, 20000) or {}
  for _, reply in pairs(replies) do
    if reply.result ~= nil then return reply.result end
  end
end

local ok, problem = pcall(function()
  vim.cmd("edit " .. script)
  local id = vim.lsp.start_client({
    name = "vramlint",
    cmd = { python, "-m", "vramlint", "lsp" },
    root_dir = vim.fn.getcwd(),
    init_options = { gpu = "RTX 4090" },
  })
  vim.lsp.buf_attach_client(0, id)
  vim.wait(30000, function() return #vim.diagnostic.get(0) > 0 end, 50)
  seen.diagnostics = {}
  for _, one in ipairs(vim.diagnostic.get(0)) do
    table.insert(seen.diagnostics, { lnum = one.lnum, col = one.col, source = one.source, message = one.message })
  end
  local document = vim.lsp.util.make_text_document_params()
  local hover = ask("textDocument/hover", { textDocument = document, position = { line = 12, character = 14 } })
  seen.hover = hover and hover.contents.value or ""
  local lenses = ask("textDocument/codeLens", { textDocument = document }) or {}
  seen.lens = lenses[1] and lenses[1].command.title or ""
  local here = { start = { line = 47, character = 0 }, ["end"] = { line = 47, character = 0 } }
  seen.actions = {}
  local context = { diagnostics = {} }
  for _, one in ipairs(ask("textDocument/codeAction", { textDocument = document, range = here, context = context }) or {}) do
    table.insert(seen.actions, one.title)
  end
  vim.api.nvim_buf_set_lines(0, 12, 14, false, { 'model_id = "gpt2"', "max_length = 128" })
  vim.wait(30000, function() return #vim.diagnostic.get(0) == 0 end, 50)
  seen.after = {}
  for _, one in ipairs(vim.diagnostic.get(0)) do table.insert(seen.after, one.message) end
  vim.lsp.stop_client(id)
end)
if not ok then seen.problem = tostring(problem) end
local file = io.open(answer, "w")
file:write((vim.fn.json_encode or vim.json.encode)(seen))
file:close()
vim.wait(200)
vim.cmd("qa!")
