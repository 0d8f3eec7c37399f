//! What several rounds of a bench have measured, in three figures.

/// Lowest, median and highest; of an even number of values the median is the mean of the two in the middle.
///
/// # Panics
/// There are no values.
#[must_use]
pub fn spread(values: impl IntoIterator<Item = f64>) -> (f64, f64, f64) {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let (below, above) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
    (values[0], f64::midpoint(below, above), values[values.len() - 1])
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn the_median_lies_in_the_middle_whatever_the_number_of_rounds() {
        assert_eq!(spread([3.0]), (3.0, 3.0, 3.0));
        assert_eq!(spread([3.0, 1.0]), (1.0, 2.0, 3.0));
        assert_eq!(spread([9.0, 1.0, 2.0]), (1.0, 2.0, 9.0));
        assert_eq!(spread([9.0, 1.0, 4.0, 2.0]), (1.0, 3.0, 9.0));
    }
}
