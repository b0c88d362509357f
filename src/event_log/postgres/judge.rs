//! Finding out what is wrong with appends after an index has objected.

use std::collections::{HashMap, HashSet};

use super::{open::Session, trouble::Trouble};
use crate::event_log::{
    port::{NewRows, Refusal, Row},
    sql::{self, Columns},
};

pub(super) const HEADS: &str = "SELECT seq, version, recorded_at, erased, name FROM streams WHERE name = ANY ($1)";
const REPEATED: &str = "SELECT seq, version, recorded_at, events.message_id, body, cause, number FROM
    (SELECT DISTINCT streams.id, asked.message_id, asked.number
        FROM unnest($1::text[], $2::text[], $3::bigint[]) AS asked (name, message_id, number)
        JOIN streams USING (name)) AS asked
    JOIN events ON events.stream = asked.id AND events.message_id = asked.message_id ORDER BY seq";

/// Which of these appends cannot happen as things stand, and why. A stale one is that before anything else.
pub(super) async fn objections(
    session: &mut Session,
    appends: &[NewRows],
    suspects: &[usize],
) -> Result<Vec<(usize, Refusal)>, Trouble> {
    let names: Vec<_> = suspects.iter().map(|index| appends[*index].stream.as_str()).collect();
    let mut heads = HashMap::new();
    for row in session.fetch_all(sqlx::query(HEADS).bind(names)).await? {
        let (name, head) = sql::stream(&row)?;
        heads.insert(name, head);
    }
    let mut repeated = repeated(session, appends, suspects).await?;
    let mut refusals = Vec::new();
    for index in suspects {
        let append = &appends[*index];
        let head = heads.get(&append.stream).copied().unwrap_or_default();
        let ids: HashSet<_> = append.rows.iter().map(|row| &row.message_id).collect();
        let found = repeated.remove(index).unwrap_or_default();
        if !append.expected.admits(head) {
            refusals.push((*index, Refusal::Stale { head: head.seq }));
        } else if !found.is_empty() || ids.len() < append.rows.len() {
            refusals.push((*index, Refusal::Repeated(found)));
        }
    }
    Ok(refusals)
}

/// What these appends' messages have caused already.
async fn repeated(
    session: &mut Session,
    appends: &[NewRows],
    suspects: &[usize],
) -> Result<HashMap<usize, Vec<Row>>, Trouble> {
    let (mut names, mut ids, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
    for (number, index) in (0_i64..).zip(suspects) {
        for row in &appends[*index].rows {
            names.push(appends[*index].stream.as_str());
            ids.push(row.message_id.as_str());
            numbers.push(number);
        }
    }
    let mut found: HashMap<usize, Vec<Row>> = HashMap::new();
    let query = sqlx::query(REPEATED).bind(names).bind(ids).bind(numbers);
    for row in session.fetch_all(query).await? {
        let number = usize::try_from(row.number(6)?).unwrap_or_default();
        found.entry(suspects[number]).or_default().push(sql::event(&row)?);
    }
    Ok(found)
}
