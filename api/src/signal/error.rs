//! Why a body is not a signal: one variant per named reason.
//!
//! **Never**: a message repeats a value from the body. It names the field, the offset and the remedy, so it can be
//! logged and answered whatever the body held.

/// Why a body was refused. [`SignalError::code`] is what programs match on and never changes for a reason; the
/// display text is for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignalError {
    /// Nothing but blanks.
    #[error("the body is empty; send the signal as one JSON object")]
    Empty,
    /// More bytes than [`super::BODY_BYTES_MAX`].
    #[error("the body has {bytes} bytes, at most {limit} are accepted", limit = super::BODY_BYTES_MAX)]
    TooLarge {
        /// Size as received.
        bytes: usize,
    },
    /// Not UTF-8.
    #[error("byte {offset} is not UTF-8; send the body as UTF-8")]
    InvalidUtf8 {
        /// First bad byte.
        offset: usize,
    },
    /// Not JSON.
    #[error("malformed JSON at byte {offset}: expected {expected}")]
    Malformed {
        /// Where, counted from the start of the JSON's carrier (the body, or the decoded form field).
        offset: usize,
        /// What should have stood there.
        expected: &'static str,
    },
    /// Valid up to here, but not an object.
    #[error(
        "the JSON is not an object; send one object such as {{\"ticker\":\"BTCUSDT\",\"action\":\"buy\"}}"
    )]
    NotAnObject,
    /// A second document after the first.
    #[error("a second JSON document starts at byte {offset}; send one signal per request")]
    MultipleDocuments {
        /// Where the second one starts.
        offset: usize,
    },
    /// Nested deeper than [`super::DEPTH_MAX`].
    #[error("nested deeper than {limit} levels at byte {offset}", limit = super::DEPTH_MAX)]
    TooDeep {
        /// Where the level too many opens.
        offset: usize,
    },
    /// More values than [`super::VALUES_MAX`].
    #[error("more than {limit} values in one body", limit = super::VALUES_MAX)]
    TooManyValues,
    /// A form that carries no signal.
    #[error("form data without the field `text`; put the JSON into `text`")]
    FormWithoutText,
    /// A percent escape that is none.
    #[error("malformed form data at byte {offset}: expected two hexadecimal digits after `%`")]
    MalformedForm {
        /// Where the escape starts.
        offset: usize,
    },
    /// A placeholder that the sender did not fill in.
    #[error("field `{field}` holds an unexpanded placeholder; check its spelling in the alert message")]
    Placeholder {
        /// The field, with the names of the objects around it.
        field: String,
    },
    /// No symbol.
    #[error("no symbol: send `ticker` or `symbol`")]
    MissingSymbol,
    /// No action.
    #[error("no action: send `action`, `signal` or `operation`")]
    MissingAction,
    /// An action that is not in the list.
    #[error("field `{field}` is no known action, such as BUY, SELL, CLOSE_LONG, CLOSE_SHORT or CLOSE")]
    UnknownAction {
        /// The field.
        field: String,
    },
    /// Text that cannot be a symbol.
    #[error("field `{field}` is not a symbol: {problem}")]
    InvalidSymbol {
        /// The field.
        field: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A number written with a comma.
    #[error("field `{field}` has a comma in its number; write a decimal point and no thousands separators")]
    DecimalComma {
        /// The field.
        field: String,
    },
    /// `NaN`, `Infinity` and the like.
    #[error("field `{field}` is not a finite number")]
    NotFinite {
        /// The field.
        field: String,
    },
    /// Text where a number belongs.
    #[error("field `{field}` is not a number")]
    NotANumber {
        /// The field.
        field: String,
    },
    /// A number outside what the field allows.
    #[error("field `{field}` is out of range: {allowed}")]
    OutOfRange {
        /// The field.
        field: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// Text over the field's limit.
    #[error("field `{field}` is longer than {limit} bytes")]
    TooLong {
        /// The field.
        field: String,
        /// The limit, in bytes of UTF-8.
        limit: usize,
    },
    /// A JSON type the field does not take.
    #[error("field `{field}` has the wrong type: expected {expected}")]
    WrongType {
        /// The field.
        field: String,
        /// What it takes.
        expected: &'static str,
    },
    /// A time in no accepted form.
    #[error(
        "field `{field}` is not a time: send ISO 8601 with Z or an offset (2026-01-31T12:00:00Z), or Unix seconds or milliseconds"
    )]
    InvalidTime {
        /// The field.
        field: String,
    },
    /// Two fields for one thing that say different things.
    #[error("`{first}` and `{second}` contradict each other; send one of them")]
    Conflict {
        /// One of them.
        first: String,
        /// The other; the same name when the field occurs twice.
        second: String,
    },
}

impl SignalError {
    /// The HTTP status: 400 (DOMAIN.md §1). Never 5xx: the sender would send it again.
    #[must_use]
    pub const fn status(&self) -> u16 {
        400
    }

    /// The stable machine word of the reason.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty_body",
            Self::TooLarge { .. } => "body_too_large",
            Self::InvalidUtf8 { .. } => "invalid_utf8",
            Self::Malformed { .. } => "malformed_json",
            Self::NotAnObject => "not_an_object",
            Self::MultipleDocuments { .. } => "multiple_documents",
            Self::TooDeep { .. } => "too_deep",
            Self::TooManyValues => "too_many_values",
            Self::FormWithoutText => "form_without_text",
            Self::MalformedForm { .. } => "malformed_form",
            Self::Placeholder { .. } => "unexpanded_placeholder",
            Self::MissingSymbol => "missing_symbol",
            Self::MissingAction => "missing_action",
            Self::UnknownAction { .. } => "unknown_action",
            Self::InvalidSymbol { .. } => "invalid_symbol",
            Self::DecimalComma { .. } => "decimal_comma",
            Self::NotFinite { .. } => "not_finite",
            Self::NotANumber { .. } => "not_a_number",
            Self::OutOfRange { .. } => "out_of_range",
            Self::TooLong { .. } => "too_long",
            Self::WrongType { .. } => "wrong_type",
            Self::InvalidTime { .. } => "invalid_time",
            Self::Conflict { .. } => "conflicting_fields",
        }
    }

    /// The field it is about, when it is about one.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Placeholder { field }
            | Self::UnknownAction { field }
            | Self::InvalidSymbol { field, .. }
            | Self::DecimalComma { field }
            | Self::NotFinite { field }
            | Self::NotANumber { field }
            | Self::OutOfRange { field, .. }
            | Self::TooLong { field, .. }
            | Self::WrongType { field, .. }
            | Self::InvalidTime { field } => Some(field),
            Self::Conflict { first, .. } => Some(first),
            _ => None,
        }
    }

    /// The same error, seen from the object around it: the path of the field grows at the front.
    pub(super) fn within(mut self, key: &str) -> Self {
        if let Self::Placeholder { field } | Self::DecimalComma { field } | Self::NotFinite { field } =
            &mut self
        {
            let outer = printable(key);
            *field = if field.is_empty() { outer } else { format!("{outer}.{field}") };
        }
        self
    }
}

/// A field name fit for a message: at most [`super::FIELD_NAME_CHARS_MAX`] characters, no control characters.
pub(super) fn printable(key: &str) -> String {
    key.chars()
        .take(super::FIELD_NAME_CHARS_MAX)
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}
