"""From a study to a champion on paper and back, unattended: what is to be done is worked out anew from what is there, at every look."""
