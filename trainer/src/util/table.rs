//! Tables: for people, and as comma-separated values.

use comfy_table::{CellAlignment, Table, presets};

/// An empty table under `names`; the first column reads from the left, the others hold numbers.
pub fn table<'a>(names: impl IntoIterator<Item = &'a str>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(names.into_iter().map(str::to_owned));
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_cell_alignment(if i == 0 { CellAlignment::Left } else { CellAlignment::Right });
    }
    table
}

/// The lines of `table`, without spaces at their ends.
pub fn lines(table: &Table) -> String {
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// `rows` under `names` as CSV.
///
/// # Errors
/// When a row has not as many cells as there are names.
pub fn csv_text<N, R>(names: N, rows: impl IntoIterator<Item = R>) -> csv::Result<String>
where
    N: IntoIterator<Item: AsRef<[u8]>>,
    R: IntoIterator<Item = String>,
{
    let mut writer = csv::Writer::from_writer(vec![]);
    writer.write_record(names)?;
    for row in rows {
        writer.write_record(row)?;
    }
    let bytes = writer.into_inner().map_err(|error| error.into_error())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
