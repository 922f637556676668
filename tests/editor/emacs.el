;; Adds the server to Eglot as a user does, and writes down what Flymake shows. For Emacs 28 with Eglot and newer.
(require 'package)
(package-initialize)
(require 'eglot)
(require 'flymake)
(setq eglot-sync-connect 20 eglot-autoshutdown t make-backup-files nil create-lockfiles nil)
(add-to-list 'eglot-server-programs
             `(python-mode . (,(getenv "PYTHON") "-m" "vramlint" "lsp"
                              :initializationOptions (:gpu "RTX 4090"))))

(defun wait-until (done)
  (let ((n 0))
    (while (and (< n 300) (not (funcall done)))
      (accept-process-output nil 0.1)
      (flymake-start)
      (setq n (1+ n)))))

(find-file (getenv "SCRIPT"))
(python-mode)
(call-interactively #'eglot)
(wait-until #'flymake-diagnostics)
(dolist (one (flymake-diagnostics))
  (message "DIAGNOSTIC %d:%d %s"
           (line-number-at-pos (flymake-diagnostic-beg one))
           (save-excursion (goto-char (flymake-diagnostic-beg one)) (1+ (current-column)))
           (flymake-diagnostic-text one)))
(goto-char (point-min))
(search-forward "optim=")
(message "HOVER %s"
         (plist-get (plist-get (jsonrpc-request (eglot--current-server-or-lose) :textDocument/hover
                                                (eglot--TextDocumentPositionParams))
                               :contents)
                    :value))
(goto-char (point-min))
(search-forward "meta-llama/Llama-2-7b-hf")
(replace-match "gpt2" t t)
(search-forward "2048")
(replace-match "128" t t)
(eglot--signal-textDocument/didChange)
(wait-until (lambda () (null (flymake-diagnostics))))
(message "AFTER %d" (length (flymake-diagnostics)))
(set-buffer-modified-p nil)
(kill-buffer)
