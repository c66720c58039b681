use std::{
    fmt,
    time::{Duration, Instant},
};

/// Time after which trouble that goes on is logged again.
const REMIND: Duration = Duration::from_secs(60);

/// Keeps a loop that meets the same trouble at every turn from writing it into the log each time.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    logged: Option<(String, Instant)>,
}

impl Trouble {
    /// Whether to log this: it has just begun, is another one than before, or has gone on for long.
    pub(crate) fn is_news(&mut self, error: &impl fmt::Display) -> bool {
        let error = error.to_string();
        if let Some((logged, at)) = &self.logged
            && *logged == error
            && at.elapsed() < REMIND
        {
            return false;
        }
        self.logged = Some((error, Instant::now()));
        true
    }

    /// It is over: if it comes back, that is news.
    pub(crate) fn over(&mut self) {
        self.logged = None;
    }
}

#[cfg(test)]
mod tests {
    use super::Trouble;

    #[test]
    fn the_same_trouble_is_news_once_until_it_is_over() {
        let mut trouble = Trouble::default();
        assert!(trouble.is_news(&"down"));
        assert!(!trouble.is_news(&"down"));
        assert!(trouble.is_news(&"nonsense"));
        assert!(trouble.is_news(&"down"));
        trouble.over();
        assert!(trouble.is_news(&"down"));
    }
}
