//! The page of reasons to wait.

use super::{cell, should_be};
use crate::explain::{WaitClass, WaitKind};

const HEAD: &str = "\
# Reasons to wait

<!-- Written by UPDATE_DOCS=1 cargo test -p worker-bin --lib pages -->

What a task or a link waits for. `worker why`, `worker top`, the live page, the log, `/readyz` and the report take their words from this table.
The name in the first column is `kind` in JSON ([the admin API](../admin-api.md) has the figures that come with each) and `cause` in
[metrics](../metrics.md); the word below it stands where there is little room. [Troubleshooting](../troubleshooting.md) has examples.
";

/// Classes in the order of the page, with what they mean.
const CLASSES: [(WaitClass, &str, &str); 4] = [
    (
        WaitClass::Blocked,
        "In the way",
        "Something stops the work. When it has done so for `--stall-after` (3 s), it is called a stall.",
    ),
    (WaitClass::Working, "At work", "Others wait for its end. It is no stall, however long it takes."),
    (WaitClass::Idle, "Nothing to do", "There is no work, or it comes later."),
    (WaitClass::Paused, "Held up by the user", "Nothing is wrong."),
];

#[test]
fn the_page_of_reasons_has_every_row() {
    let mut page = HEAD.to_owned();
    for (class, title, meaning) in CLASSES {
        page += &format!("\n## {title}\n\n{meaning}\n\n| reason | it means | what to do |\n|---|---|---|\n");
        for row in WaitKind::ALL.iter().map(|kind| kind.row()).filter(|row| row.class == class) {
            let advice = row.advice.unwrap_or_default();
            let advice = advice
                .replace("{on}", "what is waited for")
                .replace("{node}", "X")
                .replace("{stage}", "STAGE");
            page += &format!(
                "| `{}`<br>{} | {} | {} |\n",
                row.name,
                cell(row.word),
                cell(row.title),
                cell(&advice)
            );
        }
    }
    let rows = page.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, WaitKind::ALL.len(), "each reason has one class of the page");
    should_be("reference/reasons.md", &page);
}
