package extract

import (
	"path"
	"strings"
)

// fileLanguage returns the name of the language, as it stands behind a code
// fence, that a lower-case file name says; "text" never, "" when it says none.
func fileLanguage(base string) string {
	switch base {
	case "makefile", "gnumakefile", "makefile.am", "makefile.in":
		return "makefile"
	case "dockerfile", "containerfile":
		return "dockerfile"
	case "cmakelists.txt":
		return "cmake"
	case "jenkinsfile":
		return "groovy"
	case "gemfile", "rakefile", "vagrantfile":
		return "ruby"
	case "go.mod":
		return "go-mod"
	case "go.sum", "cargo.lock", "yarn.lock", "poetry.lock":
		return "lock"
	case ".bashrc", ".profile", ".bash_profile", ".zshrc":
		return "bash"
	case ".gitignore", ".dockerignore", ".gitattributes":
		return "gitignore"
	default:
	}
	ext := strings.TrimPrefix(path.Ext(base), ".")
	if ext == "" {
		return ""
	}
	if lang := programLanguage(ext); lang != "" {
		return lang
	}
	return dataLanguage(ext)
}

// programLanguage knows the extensions of programming languages.
func programLanguage(ext string) string {
	switch ext {
	case "go", "swift", "dart", "zig", "nim", "lua", "r", "scala", "groovy", "java", "proto", "thrift", "d", "v", "sql",
		"vhdl", "cmake", "awk", "tcl", "sed", "bash", "zsh", "fish", "php", "perl", "julia", "vim", "asm", "cs", "fs":
		return ext
	case "py", "pyi", "pyw", "pyx":
		return "python"
	case "js", "mjs", "cjs", "jsx":
		return "javascript"
	case "ts", "mts", "cts", "tsx":
		return "typescript"
	case "c", "h":
		return "c"
	case "cc", "cpp", "cxx", "c++", "hh", "hpp", "hxx", "ipp", "tpp", "inl", "ino":
		return "cpp"
	case "m", "mm":
		return "objectivec"
	case "rs":
		return "rust"
	case "rb", "gemspec", "rake":
		return "ruby"
	case "pl", "pm", "t", "al":
		return "perl"
	case "sh", "ksh", "dash", "ebuild":
		return "sh"
	case "kt", "kts":
		return "kotlin"
	case "hs", "lhs":
		return "haskell"
	case "ex", "exs":
		return "elixir"
	case "erl", "hrl":
		return "erlang"
	case "clj", "cljs", "cljc", "edn":
		return "clojure"
	case "lisp", "lsp", "el", "scm", "ss", "rkt":
		return "lisp"
	case "ml", "mli":
		return "ocaml"
	case "s":
		return "asm"
	case "f", "f90", "f95", "for":
		return "fortran"
	case "pas", "pp", "dpr":
		return "pascal"
	case "jl":
		return "julia"
	case "ps1", "psm1":
		return "powershell"
	case "bat", "cmd":
		return "batch"
	case "mk", "mak", "am":
		return "makefile"
	case "tex", "sty", "cls", "bib":
		return "latex"
	case "jam", "v2", "bzl", "star":
		return "starlark"
	default:
		return ""
	}
}

// dataLanguage knows the extensions of structured text.
func dataLanguage(ext string) string {
	switch ext {
	case "json", "yaml", "toml", "ini", "csv", "tsv", "css", "scss", "less", "graphql", "hcl", "tf", "diff", "xml", "properties":
		return ext
	case "yml":
		return "yaml"
	case "ndjson", "jsonl", "geojson", "webmanifest", "map", "ipynb":
		return "json"
	case "conf", "cfg", "cnf", "desktop", "service", "socket", "timer", "target", "config", "editorconfig":
		return "ini"
	case "xsl", "xslt", "xsd", "wsdl", "dtd", "rss", "atom", "plist", "csproj", "docbook", "qbk", "rdf", "opf", "ncx":
		return "xml"
	case "patch":
		return "diff"
	case "po", "pot":
		return "po"
	case "vue", "svelte", "jsp", "asp", "aspx", "erb", "ejs", "hbs", "mustache", "j2", "tmpl", "gohtml", "templ":
		return "template"
	case "rtf", "srt", "vtt", "ics", "vcf", "ldif", "pem", "crt", "key", "1", "2", "3", "5", "7", "8", "man":
		return "plaintext"
	default:
		return ""
	}
}

// shebangLanguage returns the language of the interpreter in a first line.
func shebangLanguage(line string) string {
	fields := strings.Fields(strings.TrimPrefix(line, "#!"))
	for i, field := range fields {
		name := path.Base(field)
		if i == 0 && name == "env" || strings.HasPrefix(field, "-") || strings.Contains(field, "=") {
			continue
		}
		name = strings.TrimRight(name, "0123456789.")
		switch name {
		case "node", "nodejs", "deno", "bun":
			return "javascript"
		case "sh", "dash", "ksh", "ash":
			return "sh"
		case "gawk", "mawk", "awk":
			return "awk"
		case "tclsh", "wish", "expect":
			return "tcl"
		case "":
			return "sh"
		default:
			return languageName(name)
		}
	}
	return "sh"
}

// languageName brings the names that documentation tools use for a language to
// the one used behind code fences. It returns "" for text in no language and
// for what cannot be a name.
func languageName(name string) string {
	switch name {
	case "default", "none", "text", "plaintext", "plain", "txt", "nohighlight", "notranslate", "hll", "literal", "box":
		return ""
	case "python3", "py", "py3", "ipython3", "ipython":
		return "python"
	case "pycon3", "python-console":
		return "pycon"
	case "shell", "sh-session", "shell-session":
		return "console"
	case "js":
		return "javascript"
	case "ts":
		return "typescript"
	case "c++", "cplusplus":
		return "cpp"
	case "golang":
		return "go"
	case "yml":
		return "yaml"
	default:
	}
	if name == "" || len(name) > 20 {
		return ""
	}
	for i := range len(name) {
		c := name[i]
		if !isLetter(c) && (c < '0' || c > '9') && c != '+' && c != '#' && c != '-' && c != '_' && c != '.' {
			return ""
		}
	}
	return name
}
