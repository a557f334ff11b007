update environments set unavailable = '0 of 1 available';
