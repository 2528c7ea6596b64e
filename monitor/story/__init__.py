"""Articles -> stories: the paper, its preprint, its press release and its news as one; what they are; notices on them."""
