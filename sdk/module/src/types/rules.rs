//! The rules of the manifest for values: `min`, `max_length`, `pattern` and so on. Generated code holds them as data; they are checked
//! where values are read, and in `TryFrom` of a newtype. They are not checked where values are written.

use std::fmt;
use std::time::Duration;

/// All rules for a value. It has to obey each of them; with none, every value is right.
pub type Rules = &'static [Rule];

/// A rule for a value. A rule for another type than the value's allows every value. All limits are inclusive. A float that is not a number
/// breaks `MinFloat` and `MaxFloat`.
#[derive(Debug, Clone, Copy)]
pub enum Rule {
    /// `min` of an `integer`.
    Min(i64),
    /// `max` of an `integer`.
    Max(i64),
    /// `min` of a `float`.
    MinFloat(f64),
    /// `max` of a `float`.
    MaxFloat(f64),
    /// `min` of a `duration`.
    MinDuration(Duration),
    /// `max` of a `duration`.
    MaxDuration(Duration),
    /// `min` of a `size`.
    MinSize(u64),
    /// `max` of a `size`.
    MaxSize(u64),
    /// `min_length`: the number of characters (not bytes) of a string, bytes of `bytes` (not of their base64), items of a list, or entries
    /// of a map.
    MinLength(usize),
    /// `max_length`, of the same units as `min_length`.
    MaxLength(usize),
    /// `pattern` of a `string`, a regular expression, and the function that says whether it matches. It may match a part of the text,
    /// unless it has anchors.
    Pattern(&'static str, fn(&str) -> bool),
    /// The rules for each item of a list, or each value of a map; not for its keys. A list has at most one.
    Each(Rules),
}

impl Rule {
    /// Whether the rule allows a value of this length. True for rules that are not about a length.
    pub(crate) fn allows_length(&self, length: usize) -> bool {
        match self {
            Self::MinLength(min) => length >= *min,
            Self::MaxLength(max) => length <= *max,
            _ => true,
        }
    }
}

/// The rules for each item of a list, or each value of a map, among the rules for the list or the map. Empty if there are none.
pub(crate) fn for_each(rules: Rules) -> Rules {
    let each = rules.iter().find_map(|rule| match rule {
        Rule::Each(rules) => Some(*rules),
        _ => None,
    });
    each.unwrap_or_default()
}

/// Checks a value. `allows` returns whether a rule allows it; `unit` is the unit of its length, such as "characters".
///
/// # Errors
///
/// The first rule that does not allow the value, as text, such as "must be at least 1" or, with a unit, "must be at most 3 items long". The
/// value is left out: it may be secret.
pub(crate) fn check(rules: Rules, unit: &str, allows: impl Fn(&Rule) -> bool) -> Result<(), String> {
    match rules.iter().find(|rule| !allows(rule)) {
        None => Ok(()),
        Some(rule) => Err(format!("must be {}", Wanted { rule, unit })),
    }
}

/// A rule as text, such as "at least 1", to go on after "must be".
struct Wanted<'a> {
    rule: &'a Rule,
    unit: &'a str,
}

impl fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, unit } = self;
        match rule {
            Rule::Min(min) => write!(f, "at least {min}"),
            Rule::Max(max) => write!(f, "at most {max}"),
            Rule::MinFloat(min) => write!(f, "at least {min}"),
            Rule::MaxFloat(max) => write!(f, "at most {max}"),
            Rule::MinDuration(min) => write!(f, "at least {}", humantime::format_duration(*min)),
            Rule::MaxDuration(max) => write!(f, "at most {}", humantime::format_duration(*max)),
            Rule::MinSize(min) => write!(f, "at least {}", bytesize::ByteSize(*min)),
            Rule::MaxSize(max) => write!(f, "at most {}", bytesize::ByteSize(*max)),
            Rule::MinLength(min) => write!(f, "at least {min} {unit} long"),
            Rule::MaxLength(max) => write!(f, "at most {max} {unit} long"),
            Rule::Pattern(pattern, _) => write!(f, "text that matches the pattern `{pattern}`"),
            Rule::Each(_) => f.write_str("a list of something else"),
        }
    }
}

/// A rule for a `pattern`. The regular expression is compiled once, when the first value is checked.
#[cfg(feature = "pattern")]
#[doc(hidden)]
#[macro_export]
macro_rules! __pattern {
    ($pattern:literal) => {
        $crate::__private::Rule::Pattern($pattern, |text| {
            static REGEX: ::std::sync::LazyLock<$crate::__private::Regex> = ::std::sync::LazyLock::new(|| {
                $crate::__private::Regex::new($pattern).expect("the manifest's patterns were checked")
            });
            REGEX.is_match(text)
        })
    };
}

/// Without the feature, code with a pattern doesn't compile; the error says what to add.
#[cfg(not(feature = "pattern"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __pattern {
    ($pattern:literal) => {
        compile_error!(
            "the manifest has a `pattern`, for which ixt-sdk needs its feature `pattern`: cargo add ixt-sdk --features pattern"
        )
    };
}
