//! Frames that belong together because a chain of pairs links them.

/// Groups of at least two of `count` frames, largest first; each sorted.
pub fn groups(count: usize, pairs: impl Iterator<Item = (u32, u32)>) -> Vec<Vec<u32>> {
    let mut parent: Vec<u32> = (0..count as u32).collect();
    for (a, b) in pairs {
        let (a, b) = (root(&mut parent, a), root(&mut parent, b));
        parent[a.max(b) as usize] = a.min(b);
    }
    let mut members = vec![vec![]; count];
    for frame in 0..count as u32 {
        members[root(&mut parent, frame) as usize].push(frame);
    }
    members.retain(|group| group.len() > 1);
    // Stable: of equal size, the first frame's group comes first.
    members.sort_by_key(|group| std::cmp::Reverse(group.len()));
    members
}

fn root(parent: &mut [u32], mut frame: u32) -> u32 {
    while parent[frame as usize] != frame {
        let above = parent[parent[frame as usize] as usize];
        parent[frame as usize] = above;
        frame = above;
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_one_group() {
        let pairs = [(7, 8), (1, 3), (5, 3), (2, 9)];
        assert_eq!(groups(10, pairs.into_iter()), [vec![1, 3, 5], vec![2, 9], vec![7, 8]]);
        assert!(groups(3, std::iter::empty()).is_empty());
    }
}
