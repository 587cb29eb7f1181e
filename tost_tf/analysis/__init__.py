"""The analyses of the paper: functions that return numbers; `tost_tf.report` draws them."""
