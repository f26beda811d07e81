//! Rules of composite alarms: `ALARM()`, `OK()`, `INSUFFICIENT_DATA()`, `AND`, `OR`, `NOT`, `TRUE`, `FALSE`.

use super::alarms::AlarmState;

/// A parsed rule.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    Is(AlarmState, String),
    Not(Box<Rule>),
    And(Box<Rule>, Box<Rule>),
    Or(Box<Rule>, Box<Rule>),
    Always(bool),
}

/// The nesting limit of rules, which come from callers.
const DEEPEST: usize = 100;

impl Rule {
    /// Parses a rule.
    ///
    /// # Errors
    /// A message that describes the syntax error.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { rest: text, depth: 0 };
        let rule = reader.any()?;
        reader.space();
        if reader.rest.is_empty() {
            Ok(rule)
        } else {
            Err(format!("Unexpected '{}' in AlarmRule", reader.rest))
        }
    }

    /// Collects the names of the alarms in a rule.
    pub fn children<'a>(&'a self, into: &mut Vec<&'a str>) {
        match self {
            Self::Is(_, name) => into.push(name),
            Self::Not(inner) => inner.children(into),
            Self::And(left, right) | Self::Or(left, right) => {
                left.children(into);
                right.children(into);
            }
            Self::Always(_) => {}
        }
    }

    /// Whether the rule is true. An alarm that does not exist counts as `INSUFFICIENT_DATA`.
    pub fn holds(&self, state: &impl Fn(&str) -> Option<AlarmState>) -> bool {
        match self {
            Self::Is(wanted, name) => state(name).unwrap_or(AlarmState::InsufficientData) == *wanted,
            Self::Not(inner) => !inner.holds(state),
            Self::And(left, right) => left.holds(state) && right.holds(state),
            Self::Or(left, right) => left.holds(state) || right.holds(state),
            Self::Always(holds) => *holds,
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
    depth: usize,
}

impl Reader<'_> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// Consumes a keyword if it is next.
    fn word(&mut self, word: &str) -> bool {
        self.space();
        let Some(after) = self.rest.strip_prefix(word) else { return false };
        let ends = after.chars().next().is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_');
        if ends {
            self.rest = after;
        }
        ends
    }

    fn sign(&mut self, sign: char) -> bool {
        self.space();
        let after = self.rest.strip_prefix(sign);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn any(&mut self) -> Result<Rule, String> {
        let mut left = self.all()?;
        while self.word("OR") {
            left = Rule::Or(Box::new(left), Box::new(self.all()?));
        }
        Ok(left)
    }

    fn all(&mut self) -> Result<Rule, String> {
        let mut left = self.one()?;
        while self.word("AND") {
            left = Rule::And(Box::new(left), Box::new(self.one()?));
        }
        Ok(left)
    }

    fn one(&mut self) -> Result<Rule, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("The AlarmRule is nested too deeply".into());
        }
        let one = self.one_inside();
        self.depth -= 1;
        one
    }

    fn one_inside(&mut self) -> Result<Rule, String> {
        if self.word("NOT") {
            return Ok(Rule::Not(Box::new(self.one()?)));
        }
        for (word, holds) in [("TRUE", true), ("FALSE", false)] {
            if self.word(word) {
                return Ok(Rule::Always(holds));
            }
        }
        if self.sign('(') {
            let inner = self.any()?;
            return if self.sign(')') { Ok(inner) } else { Err("A ')' is missing in AlarmRule".into()) };
        }
        for state in [AlarmState::Alarm, AlarmState::Ok, AlarmState::InsufficientData] {
            if self.word(state.name()) {
                return Ok(Rule::Is(state, self.name()?));
            }
        }
        Err(format!("Unexpected '{}' in AlarmRule", self.rest))
    }

    /// `(NAME)` or `("NAME")`, by name or ARN.
    fn name(&mut self) -> Result<String, String> {
        if !self.sign('(') {
            return Err("A '(' is missing in AlarmRule".into());
        }
        let name = if self.sign('"') {
            let (name, after) = self.rest.split_once('"').ok_or("A '\"' is missing in AlarmRule")?;
            self.rest = after;
            name
        } else {
            let (name, _) = self.rest.split_once(')').ok_or("A ')' is missing in AlarmRule")?;
            self.rest = self.rest.get(name.len()..).unwrap_or_default();
            name.trim()
        };
        let name = name.split_once(":alarm:").map_or(name, |(_, name)| name).to_owned();
        if self.sign(')') { Ok(name) } else { Err("A ')' is missing in AlarmRule".into()) }
    }
}
