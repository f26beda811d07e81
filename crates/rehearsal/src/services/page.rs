//! Pagination: a page token is the offset of the next item.

/// One page of `items` and the token of the next page; `None` if `token` is not valid.
pub(crate) fn page<T>(items: Vec<T>, token: Option<&str>, size: usize) -> Option<(Vec<T>, Option<String>)> {
    let from = match token {
        None => 0,
        Some(text) => text.parse::<usize>().ok().filter(|from| *from < items.len())?,
    };
    let total = items.len();
    let page: Vec<T> = items.into_iter().skip(from).take(size).collect();
    let next = from + page.len();
    Some((page, (next < total).then(|| next.to_string())))
}

#[cfg(test)]
mod tests {
    use super::page;

    #[test]
    fn every_item_is_on_exactly_one_page() {
        let (first, next) = page(vec![1, 2, 3, 4, 5], None, 2).unwrap();
        let (second, next) = page(vec![1, 2, 3, 4, 5], next.as_deref(), 2).unwrap();
        let (third, end) = page(vec![1, 2, 3, 4, 5], next.as_deref(), 2).unwrap();
        assert_eq!((first, second, third, end), (vec![1, 2], vec![3, 4], vec![5], None));
    }

    #[test]
    fn an_invalid_page_token_is_rejected() {
        assert!(page(vec![1], Some("x"), 2).is_none());
        assert!(page(vec![1], Some("1"), 2).is_none());
    }
}
