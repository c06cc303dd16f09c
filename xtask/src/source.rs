//! Rust text split into what is code and what is comment, so that a lint does not take a word in a string for code.

/// A Rust source with everything but code, or everything but comments, replaced by spaces. Lines keep their numbers.
pub(crate) struct Source {
    /// Code: comments, and the inside of strings and characters, are spaces.
    pub(crate) code: String,
    /// Comments only.
    pub(crate) comments: String,
}

impl Source {
    /// Splits a source text. Expects text that the compiler accepts; anything else gives some split, never a panic.
    pub(crate) fn split(text: &str) -> Self {
        let mut split = Splitter {
            text: text.chars().collect(),
            at: 0,
            code: String::with_capacity(text.len()),
            comments: String::with_capacity(text.len()),
        };
        while let Some(character) = split.peek(0) {
            match (character, split.peek(1)) {
                ('/', Some('/')) => split.line_comment(),
                ('/', Some('*')) => split.block_comment(),
                ('"', _) => split.string(),
                ('r', Some('"' | '#')) if split.starts_raw_string() => split.raw_string(),
                ('\'', _) if split.starts_character() => split.character(),
                _ => split.take(Kind::Code),
            }
        }
        Self { code: split.code, comments: split.comments }
    }

    /// The code up to the first `#[cfg(test)]` that stands before a module: tests come last by convention.
    pub(crate) fn code_without_tests(&self) -> &str {
        let mut from = 0;
        while let Some(found) = self.code[from..].find("#[cfg(test)]") {
            let after = from + found + "#[cfg(test)]".len();
            let rest = self.code[after..].trim_start();
            if rest.starts_with("mod ") || rest.starts_with("pub(crate) mod ") {
                return &self.code[..from + found];
            }
            from = after;
        }
        &self.code
    }
}

/// Line number, from 1, of a byte offset.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

/// Byte offsets at which `word` occurs as a whole word: neither neighbour is a letter, a digit or an underscore. A word
/// that begins or ends otherwise (such as `std::fs`) is whole at that end by itself.
pub(crate) fn whole_words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part = |character: char| character.is_alphanumeric() || character == '_';
    text.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let before = text[..at].chars().next_back().is_some_and(part);
        let after = text[at + word.len()..].chars().next().is_some_and(part);
        !(before && word.starts_with(part) || after && word.ends_with(part))
    })
}

#[derive(Clone, Copy)]
enum Kind {
    Code,
    Comment,
    Literal,
}

struct Splitter {
    text: Vec<char>,
    at: usize,
    code: String,
    comments: String,
}

impl Splitter {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.text.get(self.at + ahead).copied()
    }

    /// Moves one character to its side and a space (or the line's end) to the other.
    fn take(&mut self, kind: Kind) {
        let Some(character) = self.peek(0) else { return };
        let blank = if character == '\n' { '\n' } else { ' ' };
        self.code.push(if matches!(kind, Kind::Code) { character } else { blank });
        self.comments.push(if matches!(kind, Kind::Comment) { character } else { blank });
        self.at += 1;
    }

    fn take_many(&mut self, count: usize, kind: Kind) {
        for _ in 0..count {
            self.take(kind);
        }
    }

    fn line_comment(&mut self) {
        while self.peek(0).is_some_and(|character| character != '\n') {
            self.take(Kind::Comment);
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        while self.peek(0).is_some() {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => {
                    depth += 1;
                    self.take_many(2, Kind::Comment);
                }
                (Some('*'), Some('/')) => {
                    depth -= 1;
                    self.take_many(2, Kind::Comment);
                    if depth == 0 {
                        return;
                    }
                }
                _ => self.take(Kind::Comment),
            }
        }
    }

    fn string(&mut self) {
        self.take(Kind::Code);
        while let Some(character) = self.peek(0) {
            match character {
                '"' => return self.take(Kind::Code),
                '\\' => self.take_many(2, Kind::Literal),
                _ => self.take(Kind::Literal),
            }
        }
    }

    /// Whether `r` here begins `r"` or `r#"`, and is not the end of a name or a raw name such as `r#type`.
    fn starts_raw_string(&self) -> bool {
        let inside_name = self.at > 0 && {
            let before = self.text[self.at - 1];
            // `br"…"` and `cr"…"` are raw strings as well.
            (before.is_alphanumeric() || before == '_') && !matches!(before, 'b' | 'c')
        };
        let hashes = self.text[self.at + 1..].iter().take_while(|&&character| character == '#').count();
        !inside_name && self.peek(1 + hashes) == Some('"')
    }

    fn raw_string(&mut self) {
        self.take(Kind::Code);
        let hashes = self.text[self.at..].iter().take_while(|&&character| character == '#').count();
        self.take_many(hashes + 1, Kind::Code);
        while let Some(character) = self.peek(0) {
            let closes = character == '"' && (1..=hashes).all(|ahead| self.peek(ahead) == Some('#'));
            if closes {
                return self.take_many(hashes + 1, Kind::Code);
            }
            self.take(Kind::Literal);
        }
    }

    /// Whether the quote here begins a character, not a lifetime: `'a'` and `'\n'` do, `'a` does not.
    fn starts_character(&self) -> bool {
        self.peek(1) == Some('\\') || (self.peek(2) == Some('\'') && self.peek(1) != Some('\''))
    }

    fn character(&mut self) {
        self.take(Kind::Code);
        while let Some(character) = self.peek(0) {
            match character {
                '\'' => return self.take(Kind::Code),
                '\\' => self.take_many(2, Kind::Literal),
                _ => self.take(Kind::Literal),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, code: &str, comments: &str) {
        let split = Source::split(text);
        let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeeze(&split.code), code, "code of {text:?}");
        assert_eq!(squeeze(&split.comments), comments, "comments of {text:?}");
        assert_eq!(split.code.matches('\n').count(), text.matches('\n').count());
    }

    #[test]
    fn comments_and_strings_are_apart_from_code() {
        check("a(); // unsafe b\nc", "a(); c", "// unsafe b");
        check("a /* x /* y */ z */ b", "a b", "/* x /* y */ z */");
        check(r#"f("// no \" comment"); g"#, r#"f(" "); g"#, "");
        check(r###"f(r#"a " b"#, br"c\"); g"###, r###"f(r#" "#, br" "); g"###, "");
        check("let r#type = 1; // t", "let r#type = 1;", "// t");
    }

    #[test]
    fn characters_are_not_lifetimes() {
        check(
            "fn f<'a>(x: &'a str) { '\"'; '\\''; b'/' } // c",
            "fn f<'a>(x: &'a str) { ' '; ' '; b' ' }",
            "// c",
        );
    }

    #[test]
    fn words_are_whole() {
        let at = |text, word| whole_words(text, word).collect::<Vec<_>>();
        assert_eq!(at("unsafe unsafe_op xunsafe unsafe{", "unsafe"), [0, 25]);
        assert_eq!(at("std::fs std::fsx", "std::fs"), [0]);
        assert_eq!(at("x = todo!()", "todo!"), [4]);
    }

    #[test]
    fn a_test_module_ends_the_code_and_a_test_item_does_not() {
        let split = Source::split("#[cfg(test)]\nuse x;\nfn a() {}\n#[cfg(test)]\nmod tests { f64 }\n");
        assert!(split.code_without_tests().contains("fn a"));
        assert!(!split.code_without_tests().contains("f64"));
        assert_eq!(line_of("a\nb\nc", 4), 3);
    }

    #[test]
    fn broken_text_does_not_panic() {
        for text in ["\"open", "/* open", "r#\"open", "'", "'\\", "\\", "*/"] {
            let _ = Source::split(text);
        }
    }
}
