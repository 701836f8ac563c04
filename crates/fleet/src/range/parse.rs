//! An expression's text: terms and the signs between them.

use std::ops::Range;

use super::{EXPRESSION, Fault, RangeError};

/// What is done with the next term's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    And,
    Without,
    InBoth,
    InOne,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Term {
    /// A name with brackets, or without.
    Names(Vec<Part>),
    /// The name of a group.
    Group(String),
    /// A pattern with `*` or `?`.
    Pattern(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    Numbers(Vec<Numbers>),
}

/// From a number to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) low: u64,
    pub(super) high: u64,
    pub(super) step: u64,
    /// Least digits.
    pub(super) width: usize,
}

impl Numbers {
    /// How many there are.
    pub(super) const fn count(self) -> u64 {
        // The high end is not below the low one, and the step not 0.
        self.high.saturating_sub(self.low) / self.step + 1
    }
}

/// A term, what is done with it, and where it stands.
pub(super) type Placed = (Sign, Term, Range<usize>);

/// Most digits of a number.
const DIGITS: usize = 18;

/// Reads an expression.
pub(super) fn parse(text: &str) -> Result<Vec<Placed>, RangeError> {
    if text.len() > EXPRESSION {
        return Err(RangeError::new(text, 0..1, Fault::TooLong));
    }
    let mut reader = Reader { text, at: 0 };
    let mut terms = Vec::new();
    let mut sign = Sign::And;
    loop {
        reader.blanks();
        let (term, at) = reader.term()?;
        terms.push((sign, term, at));
        let was_blank = reader.blanks();
        sign = match reader.peek() {
            None => return Ok(terms),
            Some(',') => Sign::And,
            Some('!') => Sign::Without,
            Some('&') => Sign::InBoth,
            Some('^') => Sign::InOne,
            Some(_) if was_blank => {
                sign = Sign::And;
                continue;
            }
            Some(']') => return Err(reader.error_here(Fault::Unopened)),
            Some(_) => return Err(reader.error_here(Fault::Character)),
        };
        reader.step();
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn step(&mut self) {
        let length = self.peek().map_or(0, char::len_utf8);
        self.at = self.at.saturating_add(length);
    }

    /// Passes over what is so, and gives it.
    fn take(&mut self, is_so: impl Fn(char) -> bool) -> String {
        let rest = self.rest();
        let end = rest.find(|found| !is_so(found)).unwrap_or(rest.len());
        let taken = rest.get(..end).unwrap_or_default().to_owned();
        self.at = self.at.saturating_add(end);
        taken
    }

    fn blanks(&mut self) -> bool {
        !self.take(char::is_whitespace).is_empty()
    }

    fn error(&self, at: Range<usize>, fault: Fault) -> RangeError {
        RangeError::new(self.text, at, fault)
    }

    fn error_here(&self, fault: Fault) -> RangeError {
        let length = self.peek().map_or(1, char::len_utf8);
        self.error(self.at..self.at.saturating_add(length), fault)
    }

    fn term(&mut self) -> Result<(Term, Range<usize>), RangeError> {
        let begin = self.at;
        if self.peek() == Some('@') {
            self.step();
            let name = self.take(|found| is_ascii(found, is_group_part));
            if name.is_empty() {
                return Err(self.error_here(Fault::Empty));
            }
            return Ok((Term::Group(name), begin..self.at));
        }
        let mut parts = Vec::new();
        loop {
            let text = self.take(|found| is_ascii(found, is_name_part));
            if !text.is_empty() {
                parts.push(Part::Text(text));
            }
            match self.peek() {
                Some('[') => parts.push(Part::Numbers(self.bracket()?)),
                Some(_) | None => break,
            }
        }
        if parts.is_empty() {
            return Err(match self.peek() {
                None | Some(',' | '!' | '&' | '^') => self.error_here(Fault::Empty),
                Some(']') => self.error_here(Fault::Unopened),
                Some(_) => self.error_here(Fault::Character),
            });
        }
        let at = begin..self.at;
        if let [Part::Text(text)] = parts.as_slice()
            && text.contains(['*', '?'])
        {
            return Ok((Term::Pattern(text.clone()), at));
        }
        Ok((Term::Names(parts), at))
    }

    fn bracket(&mut self) -> Result<Vec<Numbers>, RangeError> {
        let opened = self.at;
        self.step();
        let mut all = Vec::new();
        loop {
            all.push(self.numbers(opened)?);
            self.blanks();
            match self.peek() {
                Some(',') => self.step(),
                Some(']') => {
                    self.step();
                    return Ok(all);
                }
                _ => return Err(self.no_number(opened)),
            }
        }
    }

    fn numbers(&mut self, opened: usize) -> Result<Numbers, RangeError> {
        self.blanks();
        let begin = self.at;
        let (low, width) = self.number(opened)?;
        let mut numbers = Numbers {
            low,
            high: low,
            step: 1,
            width,
        };
        self.blanks();
        if self.peek() != Some('-') {
            return Ok(numbers);
        }
        self.step();
        self.blanks();
        (numbers.high, _) = self.number(opened)?;
        if numbers.high < numbers.low {
            return Err(self.error(begin..self.at, Fault::Backwards));
        }
        self.blanks();
        if self.peek() == Some('/') {
            self.step();
            self.blanks();
            let begin = self.at;
            (numbers.step, _) = self.number(opened)?;
            if numbers.step == 0 {
                return Err(self.error(begin..self.at, Fault::Step));
            }
        }
        Ok(numbers)
    }

    /// A number, and with how many digits it is written.
    fn number(&mut self, opened: usize) -> Result<(u64, usize), RangeError> {
        let begin = self.at;
        let digits = self.take(|found| found.is_ascii_digit());
        if digits.len() > DIGITS {
            return Err(self.error(begin..self.at, Fault::Digits));
        }
        let number = digits.parse().map_err(|_| self.no_number(opened))?;
        Ok((number, digits.len()))
    }

    /// What stands where a number should, or a bracket's end.
    fn no_number(&self, opened: usize) -> RangeError {
        match self.peek() {
            None => self.error(opened..self.text.len(), Fault::Unclosed),
            Some('[') => self.error_here(Fault::Nested),
            Some(_) => self.error_here(Fault::Number),
        }
    }
}

fn is_ascii(found: char, is_so: impl Fn(u8) -> bool) -> bool {
    u8::try_from(found).is_ok_and(is_so)
}

pub(super) const fn is_group_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

/// What stands in a host, a user and the `@` between them, less the signs; and the stars of patterns. Whether it makes
/// a host is looked at once it is put together.
const fn is_name_part(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b',' | b'!' | b'&' | b'^' | b'[' | b']')
}
