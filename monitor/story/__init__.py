"""Articles -> stories: the paper, its preprint, press release and news as one; what kind they are; notices on them."""
