//! Metric math. Supported: `+ - * /`, parentheses, numbers, ids and `FILL(id, number)`.

use std::collections::BTreeMap;

/// A time series: values by the start of their period, in epoch milliseconds.
pub type Series = BTreeMap<i64, f64>;

/// The value of an expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Number(f64),
    Series(Series),
}

/// A parsed expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    Number(f64),
    Id(String),
    Negative(Box<Expression>),
    Operation(char, Box<Expression>, Box<Expression>),
    Fill(Box<Expression>, f64),
}

/// The nesting limit of expressions, which come from callers.
const DEEPEST: usize = 64;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Number(f64),
    Word(String),
    Sign(char),
}

impl Expression {
    /// Parses an expression.
    ///
    /// # Errors
    /// The message for a `ValidationError`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let tokens = tokens(text)?;
        let mut parser = Parser { tokens: &tokens, at: 0, depth: 0 };
        let expression = parser.sum()?;
        match parser.peek() {
            None => Ok(expression),
            Some(token) => Err(format!("Unexpected {token:?} in expression '{text}'")),
        }
    }

    /// Collects the ids that an expression uses.
    pub fn ids<'a>(&'a self, into: &mut Vec<&'a str>) {
        match self {
            Self::Number(_) => {}
            Self::Id(id) => into.push(id),
            Self::Negative(inner) | Self::Fill(inner, _) => inner.ids(into),
            Self::Operation(_, left, right) => {
                left.ids(into);
                right.ids(into);
            }
        }
    }

    /// Evaluates over the periods that begin at `starts`. The result has a point only where every series has one.
    ///
    /// # Errors
    /// The error of `resolve`.
    pub fn evaluate<E>(
        &self,
        starts: &[i64],
        resolve: &mut impl FnMut(&str) -> Result<Value, E>,
    ) -> Result<Value, E> {
        Ok(match self {
            Self::Number(number) => Value::Number(*number),
            Self::Id(id) => resolve(id)?,
            Self::Negative(inner) => match inner.evaluate(starts, resolve)? {
                Value::Number(number) => Value::Number(-number),
                Value::Series(series) => Value::Series(series.into_iter().map(|(t, v)| (t, -v)).collect()),
            },
            Self::Fill(inner, filling) => match inner.evaluate(starts, resolve)? {
                Value::Number(number) => Value::Number(number),
                Value::Series(series) => Value::Series(
                    starts.iter().map(|t| (*t, series.get(t).copied().unwrap_or(*filling))).collect(),
                ),
            },
            Self::Operation(sign, left, right) => {
                combine(*sign, left.evaluate(starts, resolve)?, right.evaluate(starts, resolve)?)
            }
        })
    }
}

fn combine(sign: char, left: Value, right: Value) -> Value {
    let apply = |a: f64, b: f64| match sign {
        '+' => a + b,
        '-' => a - b,
        '*' => a * b,
        _ => a / b,
    };
    // A division by zero gives no point.
    let finite = |points: &mut dyn Iterator<Item = (i64, f64)>| {
        Value::Series(points.filter(|(_, value)| value.is_finite()).collect())
    };
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => Value::Number(apply(a, b)),
        (Value::Series(a), Value::Number(b)) => finite(&mut a.into_iter().map(|(t, v)| (t, apply(v, b)))),
        (Value::Number(a), Value::Series(b)) => finite(&mut b.into_iter().map(|(t, v)| (t, apply(a, v)))),
        (Value::Series(a), Value::Series(b)) => {
            finite(&mut a.into_iter().filter_map(|(t, v)| Some((t, apply(v, *b.get(&t)?)))))
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut letters = text.chars().peekable();
    while let Some(&letter) = letters.peek() {
        if letter.is_whitespace() {
            letters.next();
        } else if "+-*/(),".contains(letter) {
            tokens.push(Token::Sign(letter));
            letters.next();
        } else if letter.is_ascii_digit() || letter == '.' {
            let mut digits = String::new();
            while let Some(digit) = letters.next_if(|c| c.is_ascii_digit() || *c == '.') {
                digits.push(digit);
            }
            let number = digits.parse().map_err(|_| format!("'{digits}' is not a number"))?;
            tokens.push(Token::Number(number));
        } else if letter.is_ascii_alphabetic() || letter == '_' {
            let mut word = String::new();
            while let Some(part) = letters.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
                word.push(part);
            }
            tokens.push(Token::Word(word));
        } else {
            return Err(format!("Unexpected character '{letter}' in expression '{text}'"));
        }
    }
    Ok(tokens)
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn take(&mut self, sign: char) -> bool {
        let is = self.peek() == Some(&Token::Sign(sign));
        self.at += usize::from(is);
        is
    }

    fn sum(&mut self) -> Result<Expression, String> {
        let mut left = self.product()?;
        loop {
            let sign = if self.take('+') {
                '+'
            } else if self.take('-') {
                '-'
            } else {
                return Ok(left);
            };
            left = Expression::Operation(sign, Box::new(left), Box::new(self.product()?));
        }
    }

    fn product(&mut self) -> Result<Expression, String> {
        let mut left = self.factor()?;
        loop {
            let sign = if self.take('*') {
                '*'
            } else if self.take('/') {
                '/'
            } else {
                return Ok(left);
            };
            left = Expression::Operation(sign, Box::new(left), Box::new(self.factor()?));
        }
    }

    fn factor(&mut self) -> Result<Expression, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("The expression is nested too deeply".into());
        }
        let factor = self.factor_inside();
        self.depth -= 1;
        factor
    }

    fn factor_inside(&mut self) -> Result<Expression, String> {
        if self.take('-') {
            return Ok(Expression::Negative(Box::new(self.factor()?)));
        }
        if self.take('(') {
            let inner = self.sum()?;
            return if self.take(')') { Ok(inner) } else { Err("A ')' is missing".into()) };
        }
        let token = self.peek().cloned();
        self.at += 1;
        match token {
            Some(Token::Number(number)) => Ok(Expression::Number(number)),
            Some(Token::Word(word)) if self.take('(') => self.function(&word),
            Some(Token::Word(word)) => Ok(Expression::Id(word)),
            other => Err(format!("Unexpected {other:?}")),
        }
    }

    fn function(&mut self, name: &str) -> Result<Expression, String> {
        if name != "FILL" {
            return Err(format!("The function {name} is not supported"));
        }
        let series = self.sum()?;
        if !self.take(',') {
            return Err("FILL needs two arguments".into());
        }
        let negative = self.take('-');
        let Some(Token::Number(filling)) = self.peek().cloned() else {
            return Err("FILL's second argument must be a number".into());
        };
        self.at += 1;
        if !self.take(')') {
            return Err("A ')' is missing".into());
        }
        Ok(Expression::Fill(Box::new(series), if negative { -filling } else { filling }))
    }
}
