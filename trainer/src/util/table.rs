//! Tables: for people, and as comma-separated values.

use comfy_table::{CellAlignment, Table, presets};

/// An empty table under `names`; the first column reads from the left, the others hold numbers.
pub fn table<'a>(names: impl IntoIterator<Item = &'a str>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(names.into_iter().map(str::to_owned));
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_cell_alignment(if i == 0 { CellAlignment::Left } else { CellAlignment::Right });
        column.set_padding((u16::from(i > 0), 1));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_where_their_names_end() {
        let mut table = table(["fold", "frames", "nerve"]);
        table.add_row([10, 7, 12345678]);
        assert_eq!(lines(&table), "fold  frames     nerve\n10         7  12345678\n");
    }

    #[test]
    fn cells_with_commas_are_quoted_and_rows_are_whole() {
        let rows = [["1_1".to_owned(), "a, b".to_owned()]];
        assert_eq!(csv_text(["frame", "about"], rows).unwrap(), "frame,about\n1_1,\"a, b\"\n");
        assert!(csv_text(["frame"], [["1_1".to_owned(), String::new()]]).is_err());
    }
}
